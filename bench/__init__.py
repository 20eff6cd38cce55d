"""What a proxied request costs, beside other proxies in the same run; see README.md here."""
