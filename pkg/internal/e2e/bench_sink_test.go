package e2e

import (
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"hash"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// discard is an HTTP server that reads and forgets, with as much of Archetype's
// API in front as an upload needs.
type discard struct {
	part      int64
	tls       bool
	md5       bool   // its ETags are the MD5s of parts that hold only zeros, at no cost to it
	completed func() // is called after each complete; nil: nothing is

	cacert string // the file with its certificate
}

// start gives the address of the server.
func (d *discard) start(b *testing.B) string {
	b.Helper()
	etag := `"opaque"`
	if d.md5 {
		etag = `"` + hex.EncodeToString(zeros(md5.New(), d.part)) + `"`
	}
	var origin string
	mux := http.NewServeMux()
	mux.HandleFunc("PUT /", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", etag)
		io.Copy(io.Discard, r.Body) //nolint:errcheck // a benchmark
	})
	mux.HandleFunc("POST /files/uploads/initiate", func(w http.ResponseWriter, r *http.Request) {
		var q struct {
			Size int64 `json:"num_bytes"`
		}
		if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
			b.Error(err)
		}
		var parts []map[string]any
		for off := int64(0); off < q.Size; off += d.part {
			n := len(parts) + 1
			parts = append(parts, map[string]any{
				"part_number": n, "url": fmt.Sprintf("%s/%d", origin, n), "offset": off, "length": min(d.part, q.Size-off),
				"expires_at": time.Now().Add(time.Hour).Format(time.RFC3339),
			})
		}
		answer(b, w, map[string]any{
			"upload_id": strconv.FormatInt(q.Size, 10), "file_uid": "f", "file_name": "n", "total_bytes": q.Size, "num_parts": len(parts),
			"is_resume": false, "integrity_algorithm": "none", "parts": parts,
		})
	})
	mux.HandleFunc("POST /files/uploads/{size}/parts/checkpoint", func(w http.ResponseWriter, _ *http.Request) {
		answer(b, w, map[string]any{"num_checkpointed": 1})
	})
	mux.HandleFunc("POST /files/uploads/{size}/complete", func(w http.ResponseWriter, r *http.Request) {
		answer(b, w, map[string]any{"file_uid": "f", "file_name": "n", "num_bytes": json.Number(r.PathValue("size")), "file_status": "Registered", "file_attributes": map[string]any{}})
		if d.completed != nil {
			d.completed()
		}
	})
	s := httptest.NewUnstartedServer(mux)
	if d.tls {
		s.StartTLS()
		d.cacert = filepath.Join(b.TempDir(), "ca.pem")
		if err := os.WriteFile(d.cacert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
			b.Fatal(err)
		}
	} else {
		s.Start()
	}
	b.Cleanup(s.Close)
	origin = s.URL
	return origin
}

// zeros is the digest of so many bytes of nothing.
func zeros(h hash.Hash, n int64) []byte {
	for block := make([]byte, 1<<20); n > 0; n -= int64(len(block)) {
		h.Write(block[:min(n, int64(len(block)))])
	}
	return h.Sum(nil)
}

func answer(b *testing.B, w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(v); err != nil {
		b.Error(err)
	}
}
