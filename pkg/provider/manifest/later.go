package manifest

import (
	"bytes"
	"encoding/json"
	"maps"

	"github.com/multiput/multiput/pkg/internal/exact"
	"github.com/multiput/multiput/pkg/upload"
)

// laterKept is what a request kept that is neither create's nor complete's.
type laterKept struct {
	By    string `json:"by"` // the key of the request, which may keep another value later
	Value any    `json:"value"`
}

// inReceipts is the field of Receipt.Known with what was kept until then, so that it
// is on disk, and another process can complete the upload.
const inReceipts = "$upload"

// remember keeps what a request other than create's and complete's kept, for later
// ones.
func (p *speaker) remember(id string, r *request, s *scope) {
	up, ok := s.upload.(map[string]any)
	if r.keep == nil || !ok {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.later == nil {
		p.later = map[string]map[string]laterKept{}
	}
	if p.later[id] == nil {
		p.later[id] = map[string]laterKept{}
	}
	for k, by := range s.kept {
		if by == r.key {
			p.later[id][k] = laterKept{by, up[k]}
		}
	}
}

// withLater is $upload with what requests after create kept, by the receipts and
// in this process; by says which.
func (p *speaker) withLater(id string, up map[string]any, rs []upload.Receipt, by map[string]string) map[string]any {
	all := map[string]laterKept{}
	for _, r := range rs {
		if !bytes.Contains(r.Known, []byte(inReceipts)) {
			continue
		}
		known, _ := exact.Decode(r.Known)
		m, _ := known.(map[string]any)
		more, _ := m[inReceipts].(map[string]any)
		for k, v := range more {
			kept, _ := v.(map[string]any)
			by, _ := kept["by"].(string)
			all[k] = laterKept{by, kept["value"]}
		}
	}
	p.mu.Lock()
	maps.Copy(all, p.later[id])
	p.mu.Unlock()
	if len(all) > 0 {
		up = maps.Clone(up)
	}
	for k, kept := range all {
		up[k], by[k] = kept.Value, kept.By
	}
	return up
}

// knowing is what a receipt knows of its part, with what was kept until then.
func knowing(s *scope, known map[string]any) (json.RawMessage, error) {
	up, _ := s.upload.(map[string]any)
	more := map[string]laterKept{}
	for k, by := range s.kept {
		more[k] = laterKept{by, up[k]}
	}
	if len(more) > 0 {
		known[inReceipts] = more
	}
	if len(known) == 0 {
		return nil, nil
	}
	return marshal(known)
}

// recall adds what the receipt of a part knows of it.
func recall(m map[string]any, r upload.Receipt) {
	if v, err := exact.Decode(r.Known); err == nil {
		more, _ := v.(map[string]any)
		delete(more, inReceipts)
		maps.Copy(m, more)
	}
}
