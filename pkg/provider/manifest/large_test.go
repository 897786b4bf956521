package manifest

import (
	"net/http"
	"runtime"
	"strings"
	"testing"

	"github.com/multiput/multiput/pkg/transport"
	"github.com/multiput/multiput/pkg/upload"
)

// TestLargeText holds that a large reply that is text costs one copy of it, and that
// it is not stored with the result.
func TestLargeText(t *testing.T) {
	const size = 8 << 20
	large := strings.Repeat("x", size)
	p, _ := speak(t, bearer+`create: {send: POST /u, keep: '{id}', part_size: 10}
part: {send: PUT /p, receipt: .r}
complete: {send: POST /end, result: 'length | tostring'}
`, map[string]string{"POST /v1/u": `{"id":"u1"}`, "POST /v1/end": large})
	u, _, err := p.Create(t.Context(), ten, upload.Hint{})
	if err != nil {
		t.Fatal(err)
	}
	if r, err := p.Complete(t.Context(), u, nil, upload.Digests{}); err != nil || r.Value != "8388608" || string(r.Reply) != "null" {
		t.Errorf("completed as %s with %.20s, %v", r.Value, r.Reply, err)
	}
	reply := &transport.Reply{Status: 200, Header: http.Header{}, Body: []byte(large)}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	a := p.(*speaker).read(reply)
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > size*5/4 || len(a.text) != size {
		t.Errorf("reading %d bytes allocated %d", len(a.text), got)
	}
}
