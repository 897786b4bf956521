package realstore

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

var toxiproxyTool = tool{
	name:   "toxiproxy",
	module: "github.com/Shopify/toxiproxy/v2",
	pkg:    "github.com/Shopify/toxiproxy/v2/cmd/server",
}

// Proxy is a running toxiproxy with one way through it: connections to URL are
// carried to the server that it stands before, and break on demand.
type Proxy struct {
	URL string // the origin at which clients find the server, http://127.0.0.1:PORT

	api string
	tb  testing.TB
}

// Toxic is what toxiproxy does to the connections there are and those to come.
type Toxic struct {
	Type       string           `json:"type"`   // latency, bandwidth, timeout, reset_peer, limit_data, slow_close, slicer
	Stream     string           `json:"stream"` // upstream (what the client sends) or downstream
	Attributes map[string]int64 `json:"attributes"`
}

// ToxiProxy starts a toxiproxy before the server at an origin.
func ToxiProxy(tb testing.TB, origin string) *Proxy {
	tb.Helper()
	return started(tb, toxiproxyTool, func(bin string) (*Proxy, error) { return runProxy(tb, bin, origin) })
}

func runProxy(tb testing.TB, bin, origin string) (*Proxy, error) {
	dir := tb.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "tmp"), 0o700); err != nil {
		return nil, fmt.Errorf("make directory: %w", err)
	}
	addr := Addr(tb)
	host, port, _ := strings.Cut(addr, ":")
	p := &Proxy{api: "http://" + addr, tb: tb}
	var made struct {
		Listen string `json:"listen"`
	}
	args := []string{"-host", host, "-port", port, "-proxy-metrics"}
	_, err := spawn(tb, toxiproxyTool, bin, dir, args, []string{"LOG_LEVEL=warn"}, func(ctx context.Context, server *process) error {
		ctx, cancel := context.WithTimeout(ctx, startWithin)
		defer cancel()
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			err := p.call(ctx, http.MethodPost, "/proxies", map[string]any{
				"name": "store", "listen": Addr(tb), "upstream": strings.TrimPrefix(origin, "http://"), "enabled": true,
			}, &made)
			if err == nil {
				return nil
			}
			select {
			case <-server.ended:
				return fmt.Errorf("%w: %w", errEnded, server.err)
			case <-ctx.Done():
				return fmt.Errorf("no proxy within %s: %w", startWithin, err)
			case <-tick.C:
			}
		}
	})
	if err != nil {
		return nil, err
	}
	p.URL = "http://" + made.Listen
	return p, nil
}

// Add adds a toxic and returns what takes it away.
func (p *Proxy) Add(t Toxic) (remove func()) {
	p.tb.Helper()
	var made struct {
		Name string `json:"name"`
	}
	p.must(http.MethodPost, "/proxies/store/toxics", t, &made)
	return func() {
		p.tb.Helper()
		p.must(http.MethodDelete, "/proxies/store/toxics/"+made.Name, nil, nil)
	}
}

// Up takes the way down, with every connection on it, and up again, at the same
// address.
func (p *Proxy) Up(up bool) {
	p.tb.Helper()
	p.must(http.MethodPost, "/proxies/store", map[string]any{"enabled": up}, nil)
}

var carried = regexp.MustCompile(`(?m)^toxiproxy_proxy_sent_bytes_total\{direction="upstream".*\} (\S+)$`)

// Carried is how many bytes reached the server so far, by the connections that
// have ended.
func (p *Proxy) Carried() int64 {
	p.tb.Helper()
	var text []byte
	p.must(http.MethodGet, "/metrics", nil, &text)
	sum := int64(0)
	for _, m := range carried.FindAllSubmatch(text, -1) {
		n, err := strconv.ParseFloat(string(m[1]), 64)
		if err != nil {
			p.tb.Fatal(err)
		}
		sum += int64(n)
	}
	return sum
}

func (p *Proxy) must(method, path string, in, out any) {
	p.tb.Helper()
	if err := p.call(p.tb.Context(), method, path, in, out); err != nil {
		p.tb.Fatal(err)
	}
}

func (p *Proxy) call(ctx context.Context, method, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, p.api+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode >= 300 {
		err = fmt.Errorf("%s: %s", resp.Status, answer)
	}
	if err != nil {
		return fmt.Errorf("toxiproxy: %s %s: %w", method, path, err)
	}
	switch out := out.(type) {
	case nil:
		return nil
	case *[]byte:
		*out = answer
		return nil
	}
	return json.Unmarshal(answer, out)
}
