package manifest

import (
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/multiput/multiput/pkg/internal/text"
	"github.com/multiput/multiput/pkg/provider/spec"
	"github.com/multiput/multiput/pkg/upload"
)

// wants are what a sample of each step can want, beside an error.
var wants = map[string][]string{
	"create": {"id", "keep", "digest", "parts", "urls", "expires"}, "presign": {"urls"}, "part": {"receipt", "result", "verified"},
	"confirm": {"receipt"}, "checkpoint": nil, "complete": {"keep", "result"}, "ready": {"ready", "result"},
	"probe": {"answer", "result"}, "abort": nil,
}

// readSamples reads the samples of the manifest.
func (m *Manifest) readSamples() ([]spec.Sample, error) {
	n := node{m.samples, "samples", &doc{places: map[string]place{}}}
	var all []spec.Sample
	n.list(func(at node) {
		n.doc.places[at.key] = place{at.Line, at.Column}
		all = append(all, at.sample())
	})
	if problems := n.doc.all(); len(problems) > 0 {
		return nil, &spec.Error{File: m.file, Problems: problems}
	}
	return all, nil
}

// sample reads one sample.
func (n node) sample() spec.Sample {
	s := spec.Sample{Given: spec.Given{File: upload.File{Name: "sample.bin", Type: "application/octet-stream", Size: 1}}}
	s.Fault = func(key, text string) spec.Problem {
		key = strings.TrimSuffix(n.key+"."+key, ".")
		near := key // the nearest key above it that is there
		for n.doc.places[near].line == 0 && near != n.key {
			near = near[:max(strings.LastIndexByte(near, '.'), len(n.key))]
		}
		at := n.doc.places[near]
		return spec.Problem{Line: at.line, Column: at.column, Key: key, Text: text}
	}
	n.fields(map[string]func(node){
		"step": func(v node) {
			if s.Step = v.text(); s.Step == "grant" {
				v.fail("is called presign now")
			} else if !slices.Contains(slices.Collect(maps.Keys(wants)), s.Step) {
				names := slices.Sorted(maps.Keys(wants))
				v.fail("is %q%s; the steps are %s", s.Step, text.DidYouMean(s.Step, names), strings.Join(names, ", "))
			}
		},
		"about": func(v node) { v.text() },
		"given": func(v node) { v.fields(givenKeys(&s.Given)) },
		"request": func(v node) {
			s.Request = &spec.SampleRequest{}
			v.fields(map[string]func(node){
				"send":    func(v node) { s.Request.Send = v.text() },
				"headers": func(v node) { s.Request.Header = v.texts() },
				"body":    func(v node) { s.Request.Body = v.value() },
				"text":    func(v node) { s.Request.Text = &v.Value },
				"fields":  func(v node) { s.Request.Fields, _ = v.value().(map[string]any) },
			})
			if s.Request.Send == "" {
				v.fail("has no send, such as POST /uploads")
			}
		},
		"reply": func(v node) {
			v.fields(map[string]func(node){
				"status":  func(v node) { s.Reply.Status = v.integer() },
				"headers": func(v node) { s.Reply.Header = v.texts() },
				"body": func(v node) {
					b, err := marshal(v.value())
					if err != nil {
						v.fail("%v", err)
					}
					s.Reply.Body = string(b)
				},
				"text": func(v node) { s.Reply.Body = v.Value },
			})
		},
		"want": func(v node) {
			s.Want = map[string]any{}
			known := map[string]func(node){}
			for _, k := range append([]string{"error", "message"}, wants[s.Step]...) {
				known[k] = func(v node) { s.Want[k] = v.value() }
			}
			v.fields(known)
		},
	})
	switch {
	case n.Kind != yaml.MappingNode:
	case s.Step == "":
		n.fail("has no step")
	case s.Reply.Status == 0:
		n.fail("has no reply with a status")
	}
	return s
}

func givenKeys(g *spec.Given) map[string]func(node) {
	return map[string]func(node){
		"file": func(v node) {
			g.HasFile = true
			v.fields(map[string]func(node){
				"name": func(v node) { g.File.Name = v.text() },
				"type": func(v node) { g.File.Type = v.text() },
				"size": func(v node) { g.File.Size = int64(v.integer()) },
			})
		},
		"options":   func(v node) { g.Options = v.texts() },
		"part_size": func(v node) { g.PartSize = int64(v.integer()) },
		"part":      func(v node) { g.Part = v.integer() },
		"parts":     func(v node) { v.list(func(v node) { g.Parts = append(g.Parts, v.integer()) }) },
		"bytes":     func(v node) { g.Bytes = &v.Value },
		"url":       func(v node) { g.URL = v.text() },
		"receipts":  func(v node) { v.list(func(v node) { g.Receipts = append(g.Receipts, v.Value) }) },
		"digests": func(v node) {
			v.fields(map[string]func(node){
				"crc32c":    func(v node) { g.Digests.CRC32C = v.hex() },
				"crc64nvme": func(v node) { g.Digests.CRC64NVME = v.hex() },
				"md5":       func(v node) { g.Digests.MD5 = v.hex() },
				"sha1":      func(v node) { g.Digests.SHA1 = v.hex() },
				"sha256":    func(v node) { g.Digests.SHA256 = v.hex() },
			})
		},
	}
}
