package manifest

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/multiput/multiput/pkg/internal/exact"
	"github.com/multiput/multiput/pkg/upload"
)

// scope is what expressions see of an upload that was created before, perhaps
// by another process. Receipts have what was kept until then.
func (p *speaker) scope(u upload.Upload, rs ...upload.Receipt) (*scope, error) {
	v, err := exact.Decode(u.Data)
	m, _ := v.(map[string]any)
	up, ok := m["upload"].(map[string]any)
	if err != nil || !ok {
		return nil, fmt.Errorf("%s: upload %q: what is kept of it cannot be read", p.m.title, u.ID)
	}
	// What create was told stands; the secret options are this process's.
	options := maps.Clone(p.options)
	if kept, ok := m["options"].(map[string]any); ok {
		maps.Copy(options, kept)
	}
	s := &scope{file: fileValue(u.File), options: options, base: p.base, plan: u.Parts, kept: map[string]string{}}
	s.upload = p.withLater(u.ID, up, rs, s.kept)
	sums := digestFieldsOf(nil)
	if known, ok := m["digests"].(map[string]any); ok {
		maps.Copy(sums, known)
	}
	s.digests = sums
	return s, nil
}

func fileValue(f upload.File) any {
	return map[string]any{"name": f.Name, "type": f.Type, "size": fromInt64(f.Size)}
}

func sizeOrNull(n int64) any {
	if n <= 0 {
		return nil
	}
	return fromInt64(n)
}

// partsValue are parts as expressions see them, with their receipts as far as
// there are any.
func partsValue(parts []upload.Part, rs []upload.Receipt, sums map[int]map[string][]byte) any {
	byNumber := make(map[int]upload.Receipt, len(rs))
	for _, r := range rs {
		byNumber[r.Part] = r
	}
	list := make([]any, len(parts))
	for i, part := range parts {
		m := map[string]any{}
		if sums[part.Number] != nil {
			m = known(slices.Collect(maps.Keys(sums[part.Number])), sums[part.Number])
		}
		m["number"], m["offset"], m["size"] = part.Number, fromInt64(part.Offset), fromInt64(part.Size)
		m["receipt"], m["etag"], m["checkpointed"] = nil, nil, nil
		if r, ok := byNumber[part.Number]; ok {
			m["receipt"], m["etag"], m["checkpointed"] = r.Value, orNull(r.ETag), r.Checkpointed
			recall(m, r)
		}
		list[i] = m
	}
	return list
}

// reported are parts in the order of their receipts, those without a place in
// the plan included.
func reported(plan []upload.Part, rs []upload.Receipt) []upload.Part {
	byNumber := make(map[int]upload.Part, len(plan))
	for _, part := range plan {
		byNumber[part.Number] = part
	}
	parts := make([]upload.Part, len(rs))
	for i, r := range rs {
		parts[i] = byNumber[r.Part]
		parts[i].Number = r.Part
	}
	return parts
}

// partValue is $part: one part, and its place in the plan, with the digests that
// are known of it.
func partValue(plan []upload.Part, part upload.Part, sums map[string][]byte) map[string]any {
	m := known(slices.Collect(maps.Keys(sums)), sums)
	index := slices.IndexFunc(plan, func(p upload.Part) bool { return p.Number == part.Number })
	m["number"], m["offset"], m["size"] = part.Number, fromInt64(part.Offset), fromInt64(part.Size)
	m["index"] = max(0, index)
	return m
}

// plain brings what YAML decoded into the types of JSON.
func plain(v any) (any, error) {
	b, err := marshal(v)
	if err != nil {
		return nil, fmt.Errorf("is not a value that JSON has: %w", err)
	}
	return exact.Decode(b)
}

// marshal is v as JSON, with sorted keys.
func marshal(v any) ([]byte, error) { return json.Marshal(v) }
