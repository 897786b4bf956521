package e2e

import (
	"testing"
	"time"

	"github.com/multiput/multiput/pkg/internal/realstore"
	"github.com/multiput/multiput/pkg/sandbox"
)

// realPart is the least that S3 takes.
const realPart = 5 << 20

// realStores are the S3 servers that faults are tried against.
var realStores = map[string]func(testing.TB) realstore.Server{"minio": realstore.MinIO, "versitygw": realstore.VersityGW}

// behindProxy serves an API whose parts go through a toxiproxy to a real store,
// with nothing of ours in between: the URLs are signed for the proxy.
func behindProxy(t *testing.T, server realstore.Server, api string) (*rig, *realstore.Proxy) {
	t.Helper()
	p := realstore.ToxiProxy(t, server.Endpoint)
	return onReal(t, server, &sandbox.Server{API: api, PartSize: realPart, StoreURL: p.URL}), p
}

func toxic(kind, stream string, attributes ...any) realstore.Toxic {
	c := realstore.Toxic{Type: kind, Stream: stream, Attributes: map[string]int64{}}
	for i := 0; i < len(attributes); i += 2 {
		c.Attributes[attributes[i].(string)] = int64(attributes[i+1].(int))
	}
	return c
}

// TestBadNetwork breaks the network between multiput and a real store, until
// multiput has said so often enough that a part is sent again, or until it has
// waited long enough. The upload gets through, and the object is the file.
func TestBadNetwork(t *testing.T) {
	t.Parallel()
	const size = 2*realPart + 1<<20
	// The many words of Go's net/http for a connection that is gone.
	const broken = "reset|broken pipe|EOF|closed network connection"
	faults := map[string]struct {
		toxics []realstore.Toxic
		again  int           // tries that must fail before it passes
		takes  time.Duration // at least, where nothing fails
		why    string        // how the failure shows
	}{
		"reset in the middle of a part": {[]realstore.Toxic{toxic("reset_peer", "upstream", "timeout", 100)}, 3, 0, broken},
		"cut after so many bytes":       {[]realstore.Toxic{toxic("limit_data", "upstream", "bytes", 1_000_000)}, 3, 0, broken},
		"the answer is cut":             {[]realstore.Toxic{toxic("limit_data", "downstream", "bytes", 10)}, 3, 0, broken + "|malformed"},
		"it hangs":                      {[]realstore.Toxic{toxic("timeout", "upstream", "timeout", 0)}, 2, 0, "no data was transferred"},
		// It hangs until the server closes the connection, and versitygw does that at once.
		"the answer hangs": {[]realstore.Toxic{toxic("timeout", "downstream", "timeout", 0)}, 2, 0, "no data was transferred|" + broken},
		"latency":          {[]realstore.Toxic{toxic("latency", "upstream", "latency", 300, "jitter", 100), toxic("latency", "downstream", "latency", 300)}, 0, time.Second, ""},
		"a slow line":      {[]realstore.Toxic{toxic("bandwidth", "upstream", "rate", 8<<10)}, 0, size * time.Second / (2 * 8 << 20), ""},
	}
	for store, start := range realStores {
		t.Run(store, func(t *testing.T) {
			t.Parallel()
			server := start(t)
			for name, fault := range faults {
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					r, proxy := behindProxy(t, server, "archetype")
					file := r.file(t, size)
					var remove []func()
					for _, c := range fault.toxics {
						remove = append(remove, proxy.Add(c))
					}
					began := time.Now()
					// No faster than 16 MiB a second: a part is on its way for a while.
					p := r.launch(t, nil, "multiput", "upload", file, "-p", "archetype", "-j", "2", "-v", "--stall-timeout", "1s", "--limit-rate", "16MiB")
					if fault.again > 0 {
						p.says(t, `part \d+: retrying.*(`+fault.why+")", fault.again)
						for _, f := range remove {
							f()
						}
					}
					if code := p.wait(t); code != 0 {
						t.Fatalf("exit code %d\n%s", code, p.stderr.String())
					}
					if took := time.Since(began); took < fault.takes {
						t.Errorf("it took %s, and with this network at least %s", took, fault.takes)
					}
					// The proxy counts a connection when it has closed it.
					for late := time.Now().Add(20 * time.Second); proxy.Carried() < size; <-time.After(20 * time.Millisecond) {
						if time.Now().After(late) {
							t.Fatal("the parts did not go through the proxy")
						}
					}
					r.cmpObject(t, file)
				})
			}
		})
	}
}

// TestNetworkGone takes the way to the store down, before the first part and
// again between two, and brings it back.
func TestNetworkGone(t *testing.T) {
	t.Parallel()
	for store, start := range realStores {
		t.Run(store, func(t *testing.T) {
			t.Parallel()
			r, proxy := behindProxy(t, start(t), "archetype")
			file := r.file(t, 3*realPart)
			proxy.Add(toxic("bandwidth", "upstream", "rate", 8<<10)) // so that it is not over at once
			proxy.Up(false)
			p := r.launch(t, nil, "multiput", "upload", file, "-p", "archetype", "-j", "1", "-v")
			p.says(t, "part 1: retrying.*refused", 2)
			proxy.Up(true)
			p.says(t, `\([12] of 3 parts stored`, 1)
			proxy.Up(false)
			p.says(t, "part [23]: retrying", 2)
			proxy.Up(true)
			if code := p.wait(t); code != 0 {
				t.Fatalf("exit code %d\n%s", code, p.stderr.String())
			}
			r.cmpObject(t, file)
		})
	}
}
