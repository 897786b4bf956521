package realstore_test

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/multiput/multiput/pkg/internal/realstore"
)

// TestProxyBreaksWhatItCarries: the way through the proxy is there, breaks as
// asked, and is there again.
func TestProxyBreaksWhatItCarries(t *testing.T) {
	took := make(chan int, 10)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body) // what came before it broke counts
		took <- len(b)
	}))
	defer server.Close()
	p := realstore.ToxiProxy(t, server.URL)
	send := func() error {
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		resp, err := client.Post(p.URL, "text/plain", strings.NewReader(strings.Repeat("x", 100_000)))
		if err == nil {
			err = resp.Body.Close()
		}
		return err
	}
	if err := send(); err != nil || <-took != 100_000 {
		t.Fatalf("without a toxic: %v", err)
	}
	remove := p.Add(realstore.Toxic{Type: "limit_data", Stream: "upstream", Attributes: map[string]int64{"bytes": 50_000}})
	if err := send(); err == nil {
		t.Error("cut, and no error")
	}
	if n := <-took; n == 0 || n >= 50_000 {
		t.Errorf("%d bytes came, want some below 50000", n)
	}
	remove()
	p.Up(false)
	if c, err := net.Dial("tcp", strings.TrimPrefix(p.URL, "http://")); err == nil {
		c.Close()
		t.Error("it is down, and takes connections")
	}
	p.Up(true)
	if err := send(); err != nil || <-took != 100_000 {
		t.Errorf("up again: %v", err)
	}
	// It counts a connection when that is over for it, a moment after it is for us.
	for late := time.Now().Add(20 * time.Second); p.Carried() < 200_000; <-time.After(10 * time.Millisecond) {
		if time.Now().After(late) {
			t.Fatalf("%d bytes are said to have been carried", p.Carried())
		}
	}
}
