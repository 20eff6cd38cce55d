// The reverse proxy of Go's standard library with a fixed Authorization, over HTTP/1.1.
//
// Usage: proxy ADDRESS BASE_URL CA_FILE TOKEN
package main

import (
	"crypto/tls"
	"crypto/x509"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"strconv"
	"sync/atomic"
)

func main() {
	address, base, caFile, token := os.Args[1], os.Args[2], os.Args[3], os.Args[4]
	upstream, err := url.Parse(base)
	if err != nil {
		log.Fatal(err)
	}
	pem, err := os.ReadFile(caFile)
	if err != nil {
		log.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)

	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{RootCAs: roots}
	transport.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
	transport.ForceAttemptHTTP2 = false
	transport.DisableCompression = true
	transport.MaxIdleConnsPerHost = 64

	var number atomic.Int64
	proxy := &httputil.ReverseProxy{
		Transport: transport,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(upstream)
			r.Out.Header.Set("Authorization", "Bearer "+token)
			r.Out.Header.Set("Via", "1.1 go")
			if r.Out.Header.Get("X-Request-Id") == "" {
				r.Out.Header.Set("X-Request-Id", "go-"+strconv.FormatInt(number.Add(1), 16))
			}
		},
	}
	log.Fatal(http.ListenAndServe(address, proxy))
}
