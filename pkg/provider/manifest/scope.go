package manifest

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"

	"github.com/multiput/multiput/pkg/internal/exact"
	"github.com/multiput/multiput/pkg/upload"
)

// scope is what expressions see of an upload that was created before, perhaps
// by another process.
func (p *speaker) scope(u upload.Upload) (*scope, error) {
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
	return &scope{file: fileValue(u.File), options: options, upload: up}, nil
}

func fileValue(f upload.File) any {
	return map[string]any{"name": f.Name, "type": f.Type, "size": fromInt64(f.Size)}
}

func wantValue(w upload.Hint) any {
	if w.PartSize <= 0 {
		return map[string]any{"part_size": nil}
	}
	return map[string]any{"part_size": fromInt64(w.PartSize)}
}

func partsValue(parts []upload.Part) any {
	list := make([]any, len(parts))
	for i, part := range parts {
		list[i] = map[string]any{
			"number": part.Number, "offset": fromInt64(part.Offset), "size": fromInt64(part.Size),
		}
	}
	return list
}

func receiptsValue(parts []upload.Part, rs []upload.Receipt) any {
	byNumber := make(map[int]upload.Part, len(parts))
	for _, part := range parts {
		byNumber[part.Number] = part
	}
	list := make([]any, len(rs))
	for i, r := range rs {
		m := map[string]any{
			"number": r.Part, "token": r.Value, "etag": orNull(r.ETag), "checkpointed": r.Checkpointed,
			"offset": nil, "size": nil,
		}
		if part, ok := byNumber[r.Part]; ok {
			m["offset"], m["size"] = fromInt64(part.Offset), fromInt64(part.Size)
		}
		list[i] = m
	}
	return list
}

// digestsValue has the digests that the upload asked for, and no other.
func digestsValue(asked string, d upload.Digests) any {
	m := map[string]any{"crc32c": nil, "md5": nil, "md5_base64": nil, "sha1": nil, "sha1_base64": nil}
	if asked == upload.DigestCRC32C && d.CRC32C != nil {
		m["crc32c"] = base64.StdEncoding.EncodeToString(d.CRC32C)
	}
	if asked == upload.DigestMD5 && d.MD5 != nil {
		m["md5"], m["md5_base64"] = hex.EncodeToString(d.MD5), base64.StdEncoding.EncodeToString(d.MD5)
	}
	if asked == upload.DigestSHA1 && d.SHA1 != nil {
		m["sha1"], m["sha1_base64"] = hex.EncodeToString(d.SHA1), base64.StdEncoding.EncodeToString(d.SHA1)
	}
	return m
}

// plain brings what YAML decoded into the types of JSON.
func plain(v any) (any, error) {
	b, err := marshal(v)
	if err != nil {
		return nil, fmt.Errorf("is no value that JSON has: %w", err)
	}
	return exact.Decode(b)
}

// marshal is v as JSON, with sorted keys.
func marshal(v any) ([]byte, error) { return json.Marshal(v) }
