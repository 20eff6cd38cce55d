"""Plain nginx with a fixed Authorization field: the yardstick."""

from bench import nginx
from bench.peers.site import Site
from bench.processes import Launch
from bench.upstream import TOKEN

# No access log: it would cost nginx a write per request, and the yardstick is its best. Bodies are
# streamed both ways, as all the others do, and not written to a disk first.
_HTTP = """
  access_log off;
  map $http_x_request_id $id {{
    default $http_x_request_id;
    "" $connection-$connection_requests;
  }}
  upstream api {{
    server 127.0.0.1:{upstream_port};
    keepalive 64;
    keepalive_requests 1000000000;
    keepalive_timeout 3600s;
  }}
  server {{
    listen 127.0.0.1:{port};
    client_max_body_size 0;
    proxy_request_buffering off;
    proxy_max_temp_file_size 0;
    location / {{
      proxy_pass {scheme}://api/v1/;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host {authority};
      proxy_set_header Authorization "Bearer {token}";
      proxy_set_header Via "1.1 nginx";
      proxy_set_header X-Request-Id $id;
      proxy_ssl_verify on;
      proxy_ssl_trusted_certificate {ca_file};
      proxy_ssl_name localhost;
    }}
  }}
"""


def launch(site: Site) -> Launch:
    """Say how to start nginx as a proxy on *site*."""
    http = _HTTP.format(
        authority=site.upstream.authority(site.scheme),
        upstream_port=site.upstream.port(site.scheme),
        port=site.port,
        scheme=site.scheme,
        token=TOKEN,
        ca_file=site.upstream.ca_file,
    )
    return nginx.launch(site.directory, http)
