package upload_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/multiput/multiput/pkg/transport"
	"github.com/multiput/multiput/pkg/upload"
)

// wired is a cloud whose parts go over real connections, to a server that goes
// wrong where a test wants it to.
type wired struct {
	*cloud
	client *transport.Client
	url    string
}

// wire puts a server between the engine and the cloud. handle may answer a part
// by itself, and then says so.
func (r *rig) wire(handle func(w http.ResponseWriter, q *http.Request, part string) bool) {
	r.retry = transport.Policy{Retries: 5, Base: time.Millisecond, Cap: 10 * time.Millisecond}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if handle(w, q, q.URL.Path[1:]) {
			return
		}
		b, err := io.ReadAll(q.Body)
		if err != nil || int64(len(b)) != q.ContentLength {
			panic(http.ErrAbortHandler)
		}
		w.Header().Set("ETag", plainETag(0, b))
	}))
	r.t.Cleanup(s.Close)
	r.provider = &wired{r.cloud, &transport.Client{Stall: time.Second}, s.URL}
}

func (w *wired) Put(ctx context.Context, u upload.Upload, g upload.Presigned, p upload.Part, body io.Reader) (upload.Receipt, error) {
	var sent bytes.Buffer
	reply, err := w.client.Do(ctx, transport.Request{
		Op: fmt.Sprintf("send part %d", p.Number), Method: http.MethodPut, URL: fmt.Sprintf("%s/%d?X-Amz-Signature=SECRET", w.url, p.Number),
		Body: io.TeeReader(body, &sent), Size: p.Size, Bulk: true,
	})
	switch {
	case err != nil:
		return upload.Receipt{}, err
	case reply.Status == http.StatusForbidden:
		return upload.Receipt{}, fmt.Errorf("%w: %w", upload.ErrExpired, reply.Error("", string(reply.Body), ""))
	case reply.Status >= 300:
		return upload.Receipt{}, reply.Error("", string(reply.Body), "")
	}
	rc, err := w.cloud.Put(ctx, u, g, p, &sent)
	rc.ETag = reply.Header.Get("ETag")
	return rc, err
}

// once is true the first time it is asked of something.
func once() func(string) bool {
	var mu sync.Mutex
	seen := make(map[string]bool)
	return func(s string) bool {
		mu.Lock()
		defer mu.Unlock()
		defer func() { seen[s] = true }()
		return !seen[s]
	}
}

// TestTroubleOnTheWire: a part that stalls, breaks or is refused is sent again,
// and the upload does not die of it.
func TestTroubleOnTheWire(t *testing.T) {
	const size = 512 << 10
	for name, test := range map[string]func(w http.ResponseWriter, q *http.Request, over <-chan struct{}){
		"no answer": func(_ http.ResponseWriter, q *http.Request, over <-chan struct{}) {
			_, _ = io.Copy(io.Discard, q.Body)
			<-over
		},
		"no reading": func(_ http.ResponseWriter, q *http.Request, over <-chan struct{}) {
			_, _ = q.Body.Read(make([]byte, 10))
			<-over
		},
		"a reset": func(_ http.ResponseWriter, q *http.Request, _ <-chan struct{}) {
			_, _ = io.CopyN(io.Discard, q.Body, 1000)
			panic(http.ErrAbortHandler)
		},
		"503": func(w http.ResponseWriter, _ *http.Request, _ <-chan struct{}) {
			w.WriteHeader(http.StatusServiceUnavailable)
		},
		"403 while it is sent": func(w http.ResponseWriter, _ *http.Request, _ <-chan struct{}) {
			w.Header().Set("Connection", "close")
			w.WriteHeader(http.StatusForbidden)
		},
		"an answer that is cut": func(w http.ResponseWriter, q *http.Request, _ <-chan struct{}) {
			_, _ = io.Copy(io.Discard, q.Body)
			w.Header().Set("Content-Length", "100")
			w.WriteHeader(http.StatusOK)
			panic(http.ErrAbortHandler)
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, 5*size)
			r.cloud.partSize = size
			first, over := once(), make(chan struct{})
			r.wire(func(w http.ResponseWriter, q *http.Request, part string) bool {
				if part != "2" && part != "5" || !first(part) {
					return false
				}
				test(w, q, over)
				return true
			})
			t.Cleanup(func() { close(over) }) // before the server, which waits for them
			rep := r.ok()
			r.once("u1")
			if rep.Verification != upload.VerifiedETag || len(told[upload.Retrying](r)) != 2 {
				t.Errorf("%+v, %d retries", rep, len(told[upload.Retrying](r)))
			}
		})
	}
}

// The file shrinks while one of its parts is on the wire: what is wrong is the
// file, not the connection.
func TestFileShrinksOnTheWire(t *testing.T) {
	const size = 4 << 20
	r := newRig(t, size)
	r.cloud.partSize = size
	r.wire(func(_ http.ResponseWriter, q *http.Request, _ string) bool {
		_, _ = q.Body.Read(make([]byte, 10))
		if err := os.Truncate(r.path, 1000); err != nil {
			t.Error(err)
		}
		return false
	})
	_, err := r.run(t.Context())
	if !errors.Is(err, upload.ErrChanged) || errors.Is(err, upload.ErrUnfinished) || r.cloud.completes != 0 {
		t.Errorf("error %v, %d completes", err, r.cloud.completes)
	}
}
