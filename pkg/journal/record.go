package journal

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"time"
	"unicode/utf8"

	"go.etcd.io/bbolt"

	"github.com/multiput/multiput/pkg/upload"
)

// The layout, version 1. Every value outside of "meta" is sealed: eight hex
// digits of its CRC32C, a space, and what it says. That is JSON, but for parts
// and receipts, of which there may be ten thousand: they are lines of text.
//
//	meta/format            "multiput journal"
//	meta/version           "1"
//	meta/still             an empty bucket
//	multiput uploads/KEY/  for each upload:
//	    head               who, where, how far: small, written with each step
//	    updated            when it last changed: written with everything
//	    outcome            from Done on
//	    plan/upload, plan/parts   large, written once
//	    urls/N           by part number, 8 bytes big-endian, until Done
//	    receipts/N         likewise
//
// The plan is in a bucket of its own so that its pages are not copied when a
// receipt is added. The bucket "still" makes bbolt give "meta" a page of its
// own, which is among the first of the file and is never moved: by it a
// journal is known whatever else is broken or cut off.
const (
	formatName    = "multiput journal"
	schemaVersion = "1"

	bucketMeta = "meta"
	keyFormat  = "format" // the first key of its bucket: see marks
	keyVersion = "version"

	bucketStill    = "still"
	bucketUploads  = "multiput uploads" // see marks
	keyHead        = "head"
	keyUpdated     = "updated"
	keyOutcome     = "outcome"
	bucketPlan     = "plan"
	keyUpload      = "upload"
	keyParts       = "parts"
	bucketURLs     = "urls"
	bucketReceipts = "receipts"
)

// errCorrupt: a value is not what was stored.
var errCorrupt = errors.New("corrupt")

func corruptf(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errCorrupt, fmt.Sprintf(format, args...))
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

const sealSize = 8 + 1

// seal encodes a value to be stored under a key.
func seal(key []byte, v any) ([]byte, error) {
	b := bytes.NewBufferString("00000000 ")
	enc := json.NewEncoder(b)
	enc.SetEscapeHTML(false) // a stored reply is shown as it came
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return signed(key, bytes.TrimSuffix(b.Bytes(), []byte("\n"))), nil
}

// signed puts the checksum where eight bytes were left for it.
func signed(key, value []byte) []byte {
	sum := binary.BigEndian.AppendUint32(nil, sealSum(key, value[sealSize:]))
	hex.Encode(value, sum)
	return value
}

// unseal gives what was stored under a key.
func unseal(key, value []byte) ([]byte, error) {
	var sum [4]byte
	if len(value) < sealSize || value[sealSize-1] != ' ' {
		return nil, corruptf("a value without its checksum")
	}
	if _, err := hex.Decode(sum[:], value[:8]); err != nil {
		return nil, corruptf("a value without its checksum")
	}
	if binary.BigEndian.Uint32(sum[:]) != sealSum(key, value[sealSize:]) {
		return nil, corruptf("a value that does not match its checksum")
	}
	return value[sealSize:], nil
}

// sealSum covers the key too, so that a value cannot pass for another's.
func sealSum(key, body []byte) uint32 {
	return crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, body)
}

// decode reads what was stored under a key.
func decode(key, value []byte, v any) error {
	doc, err := unseal(key, value)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(doc, v); err != nil {
		return corruptf("%v", err)
	}
	return nil
}

// checkValue checks a value found at a path of buckets: its seal and, if deep,
// that it decodes.
func checkValue(path []string, key, value []byte, deep bool) error {
	if len(path) > 0 && path[0] == bucketMeta {
		return nil
	}
	in := ""
	if len(path) > 2 {
		in = path[2]
	}
	var err error
	switch {
	case !deep:
		_, err = unseal(key, value)
	case in == bucketReceipts:
		_, err = openReceipt(key, value)
	case in == bucketPlan && string(key) == keyParts:
		_, err = openParts(value)
	default:
		err = decode(key, value, document(in, string(key)))
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errDamaged, err)
	}
	return nil
}

// document is what is decoded from a value of an upload: bucket is that within
// the upload's, or empty.
func document(bucket, key string) any {
	switch {
	case bucket == bucketURLs:
		return new(upload.Presigned)
	case bucket == bucketPlan && key == keyUpload:
		return new(upload.Upload)
	case bucket == "" && key == keyHead:
		return new(head)
	case bucket == "" && key == keyUpdated:
		return new(time.Time)
	case bucket == "" && key == keyOutcome:
		return new(upload.Outcome)
	}
	return new(any)
}

// targetKey identifies a target: 32 hex digits.
func targetKey(t upload.Target) string {
	return digest("target", t.Provider, t.Base, t.Name, t.Type, string(t.Options))
}

// uploadKey identifies an upload: its target and the absolute path of its file.
func uploadKey(target, path string) string {
	return digest("upload", target, path)
}

// digest hashes strings so that no two lists of them give the same.
func digest(ss ...string) string {
	h := sha256.New()
	for _, s := range ss {
		_, _ = h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(s))))
		_, _ = h.Write([]byte(s))
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// head is the small part of a record, which changes with each of its steps.
type head struct {
	To      string        `json:"to"` // targetKey
	Target  upload.Target `json:"target"`
	Path    string        `json:"path"`
	State   upload.State  `json:"state"`
	Started time.Time     `json:"started"`
	File    upload.File   `json:"file"`

	// JSON has no place for names that are not UTF-8, and there are such files.
	Raw map[string][]byte `json:"raw,omitempty"`
}

// names are the fields of h that may hold anything a file system takes.
func (h *head) names() map[string]*string {
	return map[string]*string{
		"target.name": &h.Target.Name,
		"path":        &h.Path,
		"file.path":   &h.File.Path,
		"file.name":   &h.File.Name,
	}
}

func (h head) seal() ([]byte, error) {
	h.Raw = nil
	for name, s := range h.names() {
		if !utf8.ValidString(*s) {
			if h.Raw == nil {
				h.Raw = make(map[string][]byte)
			}
			h.Raw[name] = []byte(*s)
		}
	}
	h.Started = storable(h.Started)
	h.File.ModTime = storable(h.File.ModTime)
	return seal([]byte(keyHead), h)
}

func openHead(value []byte) (h head, err error) {
	if err := decode([]byte(keyHead), value, &h); err != nil {
		return h, err
	}
	names := h.names()
	for name, raw := range h.Raw {
		if s, ok := names[name]; ok {
			*s = string(raw)
		}
	}
	h.Raw = nil
	return h, nil
}

// storable is the nearest time that JSON can tell: file systems know years
// beyond 9999. A file time so changed only makes its stored parts be compared.
func storable(t time.Time) time.Time {
	switch y := t.UTC().Year(); {
	case y < 1:
		return time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)
	case y > 9998: // a year's room for time zones
		return time.Date(9998, 12, 31, 0, 0, 0, 0, time.UTC)
	}
	return t
}

// get reads a value that a record must have.
func get(b *bbolt.Bucket, key string, v any) error {
	value := b.Get([]byte(key))
	if value == nil {
		return corruptf("no %s", key)
	}
	return decode([]byte(key), value, v)
}

// within is a bucket that every record has.
func within(b *bbolt.Bucket, name string) (*bbolt.Bucket, error) {
	in := b.Bucket([]byte(name))
	if in == nil {
		return nil, corruptf("no %s", name)
	}
	return in, nil
}

// encoded is a record made ready to be stored: what can go wrong about it goes
// wrong before a transaction is touched.
type encoded struct {
	head, updated, outcome, upload, parts []byte
	urls, receipts                        []pair
}

type pair struct{ key, value []byte }

// encode makes a record ready. Its target and path are already right.
func encode(r upload.Record) (e encoded, err error) {
	h := head{To: targetKey(r.Target), Target: r.Target, Path: r.Path, State: r.State, Started: r.Started, File: r.Upload.File}
	if e.head, err = h.seal(); err != nil {
		return e, err
	}
	if e.updated, err = seal([]byte(keyUpdated), storable(r.Updated)); err != nil {
		return e, err
	}
	u := r.Upload
	parts := u.Parts
	u.Parts, u.File, u.Expires = nil, upload.File{}, storable(u.Expires)
	if e.upload, err = seal([]byte(keyUpload), u); err != nil {
		return e, err
	}
	e.parts = sealParts(parts)
	if ended(r.State) != (r.Outcome != nil) {
		return e, fmt.Errorf("an upload that is %q, and outcome %v", r.State, r.Outcome)
	}
	if r.Outcome != nil {
		if e.outcome, err = sealOutcome(*r.Outcome); err != nil {
			return e, err
		}
	}
	if !u.Renewable && !ended(r.State) {
		for _, g := range r.Presigned {
			g.Expires = storable(g.Expires)
			key := partKey(g.Part)
			value, err := seal(key, g)
			if err != nil {
				return e, err
			}
			e.urls = append(e.urls, pair{key, value})
		}
	}
	for n, receipt := range r.Receipts {
		receipt.Part = n
		e.receipts = append(e.receipts, sealReceipt(receipt))
	}
	byKey := func(a, b pair) int { return bytes.Compare(a.key, b.key) }
	slices.SortFunc(e.urls, byKey)
	slices.SortFunc(e.receipts, byKey)
	return e, nil
}

// sealOutcome stores whatever the provider answered: once it confirmed, the
// journal is the last to make difficulties.
func sealOutcome(o upload.Outcome) ([]byte, error) {
	if reply := o.Result.Reply; len(reply) == 0 {
		o.Result.Reply = nil
	} else if !json.Valid(reply) {
		quoted, err := json.Marshal(string(reply))
		if err != nil {
			return nil, err
		}
		o.Result.Reply = quoted
	}
	return seal([]byte(keyOutcome), o)
}

// store writes a record where there is none.
func (e encoded) store(uploads *bbolt.Bucket, key string) error {
	b, err := uploads.CreateBucket([]byte(key))
	if err != nil {
		return err
	}
	plan, err := b.CreateBucket([]byte(bucketPlan))
	if err != nil {
		return err
	}
	var urls *bbolt.Bucket // none any more once it has an outcome
	if e.outcome == nil {
		if urls, err = b.CreateBucket([]byte(bucketURLs)); err != nil {
			return err
		}
	}
	receipts, err := b.CreateBucket([]byte(bucketReceipts))
	if err != nil {
		return err
	}
	puts := []struct {
		in *bbolt.Bucket
		pair
	}{
		{b, pair{[]byte(keyHead), e.head}},
		{b, pair{[]byte(keyUpdated), e.updated}},
		{plan, pair{[]byte(keyUpload), e.upload}},
		{plan, pair{[]byte(keyParts), e.parts}},
	}
	if e.outcome != nil {
		puts = append(puts, struct {
			in *bbolt.Bucket
			pair
		}{b, pair{[]byte(keyOutcome), e.outcome}})
	}
	for _, p := range puts {
		if err := p.in.Put(p.key, p.value); err != nil {
			return err
		}
	}
	for _, g := range e.urls {
		if err := urls.Put(g.key, g.value); err != nil {
			return err
		}
	}
	for _, r := range e.receipts {
		if err := receipts.Put(r.key, r.value); err != nil {
			return err
		}
	}
	return nil
}

// ended reports whether an upload needs no urls any more.
func ended(s upload.State) bool {
	return s == upload.Done || s == upload.Delivered
}

// load reads a record from its bucket. Nothing of it refers to the file after.
func load(b *bbolt.Bucket) (*upload.Record, error) {
	r, err := loadPlan(b)
	if err != nil {
		return nil, err
	}
	receipts, err := within(b, bucketReceipts)
	if err != nil {
		return nil, err
	}
	r.Receipts = make(map[int]upload.Receipt)
	err = receipts.ForEach(func(k, v []byte) error {
		receipt, err := openReceipt(k, v)
		if err != nil {
			return err
		}
		r.Receipts[receipt.Part] = receipt
		return nil
	})
	if err != nil {
		return nil, err
	}
	return r, nil
}

// loadPlan is load without the receipts, of which there may be ten thousand.
func loadPlan(b *bbolt.Bucket) (*upload.Record, error) {
	h, err := openHead(b.Get([]byte(keyHead)))
	if err != nil {
		return nil, err
	}
	r := &upload.Record{Target: h.Target, Path: h.Path, State: h.State, Started: h.Started}
	if err := get(b, keyUpdated, &r.Updated); err != nil {
		return nil, err
	}
	plan, err := within(b, bucketPlan)
	if err != nil {
		return nil, err
	}
	if err := get(plan, keyUpload, &r.Upload); err != nil {
		return nil, err
	}
	if r.Upload.Parts, err = openParts(plan.Get([]byte(keyParts))); err != nil {
		return nil, err
	}
	r.Upload.File = h.File
	if b.Get([]byte(keyOutcome)) != nil {
		r.Outcome = new(upload.Outcome)
		if err := get(b, keyOutcome, r.Outcome); err != nil {
			return nil, err
		}
	}
	if urls := b.Bucket([]byte(bucketURLs)); urls != nil {
		err := urls.ForEach(func(k, v []byte) error {
			var g upload.Presigned
			if err := decode(k, v, &g); err != nil {
				return err
			}
			r.Presigned = append(r.Presigned, g)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return r, nil
}

// clone copies a bucket with the buckets within it.
func clone(from, to *bbolt.Bucket) error {
	return from.ForEach(func(k, v []byte) error {
		if v != nil {
			return to.Put(k, bytes.Clone(v))
		}
		in, err := to.CreateBucket(k)
		if err != nil {
			return err
		}
		return clone(from.Bucket(k), in)
	})
}
