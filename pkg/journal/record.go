package journal

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"slices"
	"strings"
	"time"

	"github.com/fxamacker/cbor/v2"
	"go.etcd.io/bbolt"

	"github.com/multiput/multiput/pkg/upload"
)

// The layout of ID.db, version 1. Every value outside of "meta" begins with its
// CRC-32C, 4 bytes big-endian. What follows is CBOR (RFC 8949): it holds any bytes,
// as names and receipts may be no text, and reading 10,000 receipts takes a quarter
// of the time that JSON takes.
//
//	meta/format, meta/version
//	state/record           who, where, how far: small, written with each step
//	state/updated          when it last changed: written with everything
//	state/outcome          from Waiting or Done on
//	plan/upload, plan/parts   large, written once
//	urls/N                 by part number, 8 bytes big-endian, until then
//	receipts/N             likewise
//
// The plan is in a bucket of its own so that its pages are not copied when a
// receipt is added.
const (
	formatName = "multiput journal"
	version    = 1

	bucketMeta     = "meta"
	keyFormat      = "format"
	keyVersion     = "version"
	bucketState    = "state"
	keyRecord      = "record"
	keyUpdated     = "updated"
	keyOutcome     = "outcome"
	bucketPlan     = "plan"
	keyUpload      = "upload"
	keyParts       = "parts"
	bucketURLs     = "urls"
	bucketReceipts = "receipts"
)

// stateRecord is the small part of a record, which changes with each of its
// steps.
type stateRecord struct {
	Target  upload.Target `json:"target"`
	Path    string        `json:"path"`
	State   upload.State  `json:"state"`
	Started time.Time     `json:"started"`
	File    upload.File   `json:"file"`
}

// encoded is a record made ready to be stored: what can go wrong about it goes
// wrong before a transaction is touched.
type encoded map[string][]pair // by bucket

type pair struct{ key, value []byte }

// encode makes a record ready.
func encode(r upload.Record) (encoded, error) {
	if ended(r.State) != (r.Outcome != nil) {
		return nil, fmt.Errorf("an upload that is %q, and outcome %v", r.State, r.Outcome)
	}
	e := encoded{bucketURLs: nil, bucketReceipts: nil}
	add := func(bucket, key string, v any) error {
		value, err := withChecksum([]byte(key), v)
		e[bucket] = append(e[bucket], pair{[]byte(key), value})
		return err
	}
	u := r.Upload
	u.Parts, u.File, u.Expires = nil, upload.File{}, storable(u.Expires)
	if err := add(bucketPlan, keyUpload, u); err != nil {
		return nil, err
	}
	parts := make([][3]int64, len(r.Upload.Parts))
	for i, p := range r.Upload.Parts {
		parts[i] = [3]int64{int64(p.Number), p.Offset, p.Size}
	}
	if err := add(bucketPlan, keyParts, parts); err != nil {
		return nil, err
	}
	state, err := encodeState(r)
	if err != nil {
		return nil, err
	}
	e[bucketState] = state
	if !u.Renewable && !ended(r.State) {
		for _, g := range r.Presigned {
			g.Expires = storable(g.Expires)
			if err := add(bucketURLs, string(partKey(g.Part)), g); err != nil {
				return nil, err
			}
		}
	}
	for n, receipt := range r.Receipts {
		if err := add(bucketReceipts, string(partKey(n)), receipt); err != nil {
			return nil, err
		}
	}
	for _, pairs := range e {
		slices.SortFunc(pairs, func(a, b pair) int { return bytes.Compare(a.key, b.key) })
	}
	return e, nil
}

// encodeState makes the part of a record ready that its steps change.
func encodeState(r upload.Record) ([]pair, error) {
	s := stateRecord{Target: r.Target, Path: r.Path, State: r.State, Started: storable(r.Started), File: r.Upload.File}
	s.File.ModTime = storable(s.File.ModTime)
	values := map[string]any{keyRecord: s, keyUpdated: storable(r.Updated)}
	if r.Outcome != nil {
		values[keyOutcome] = storableOutcome(*r.Outcome)
	}
	pairs := make([]pair, 0, len(values))
	for key, v := range values {
		value, err := withChecksum([]byte(key), v)
		if err != nil {
			return nil, err
		}
		pairs = append(pairs, pair{[]byte(key), value})
	}
	return pairs, nil
}

// storableOutcome is whatever the provider answered as something that can be
// stored: once it confirmed, the journal is the last to make difficulties.
func storableOutcome(o upload.Outcome) upload.Outcome {
	if reply := o.Result.Reply; len(reply) == 0 {
		o.Result.Reply = nil
	} else if !json.Valid(reply) {
		if quoted, err := json.Marshal(string(reply)); err == nil {
			o.Result.Reply = quoted
		}
	}
	return o
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

// store writes a record in place of whatever is there.
func (e encoded) store(tx *bbolt.Tx) error {
	e[bucketMeta] = []pair{{[]byte(keyFormat), []byte(formatName)}, {[]byte(keyVersion), []byte{'0' + version}}}
	for name, pairs := range e {
		if tx.Bucket([]byte(name)) != nil {
			if err := tx.DeleteBucket([]byte(name)); err != nil {
				return err
			}
		}
		b, err := tx.CreateBucket([]byte(name))
		if err != nil {
			return err
		}
		if _, err := b.CreateBucket([]byte(keyApart)); err != nil {
			return err
		}
		for _, p := range pairs {
			if err := b.Put(p.key, p.value); err != nil {
				return err
			}
		}
	}
	return nil
}

// keyApart is an empty bucket in each bucket, which so gets a page of its own. A
// small one without it would be kept in its parent's page, and bbolt copies such a
// one to Go's heap to read it. An offset in it that is damaged then points to
// somewhere in the heap, and the garbage collector ends the program over that.
const keyApart = "\xff"

// each calls fn for each pair of a bucket.
func each(b *bbolt.Bucket, fn func(k, v []byte) error) error {
	return b.ForEach(func(k, v []byte) error {
		if v == nil && string(k) == keyApart {
			return nil
		}
		return fn(k, v)
	})
}

// partKey sorts as part numbers do.
func partKey(n int) []byte { return binary.BigEndian.AppendUint64(nil, uint64(n)) }

// put writes values into a bucket that every record has.
func put(tx *bbolt.Tx, bucket string, pairs []pair) error {
	b, err := within(tx, bucket)
	if err != nil {
		return err
	}
	for _, p := range pairs {
		if err := b.Put(p.key, p.value); err != nil {
			return err
		}
	}
	return nil
}

// ended reports whether the provider confirmed an upload: it has an outcome, and
// needs no URLs any more.
func ended(s upload.State) bool {
	return s == upload.Waiting || s == upload.Done || s == upload.Delivered
}

// checkFormat reports whether a file is one of ours; empty: nothing is in it yet.
func checkFormat(tx *bbolt.Tx) (empty bool, _ error) {
	if k, _ := tx.Cursor().First(); k == nil {
		return true, nil
	}
	meta := tx.Bucket([]byte(bucketMeta))
	if meta == nil || string(meta.Get([]byte(keyFormat))) != formatName {
		return false, damagedf("it is a bbolt file of something else")
	}
	if v := meta.Get([]byte(keyVersion)); string(v) != string([]byte{'0' + version}) {
		return false, fmt.Errorf("%w (%q)", errNewer, v)
	}
	return false, nil
}

// load reads a record and checks all of it; nil if there is none. Nothing of it
// refers to the file after.
func load(tx *bbolt.Tx) (*upload.Record, error) {
	empty, err := checkFormat(tx)
	if err != nil || empty {
		return nil, err
	}
	var s stateRecord
	state, err := within(tx, bucketState)
	if err == nil {
		err = get(state, keyRecord, &s)
	}
	if err != nil {
		return nil, err
	}
	rec := &upload.Record{Target: s.Target, Path: s.Path, State: s.State, Started: s.Started, Receipts: make(map[int]upload.Receipt)}
	if err := get(state, keyUpdated, &rec.Updated); err != nil {
		return nil, err
	}
	if state.Get([]byte(keyOutcome)) != nil {
		rec.Outcome = new(upload.Outcome)
		if err := get(state, keyOutcome, rec.Outcome); err != nil {
			return nil, err
		}
	}
	plan, err := within(tx, bucketPlan)
	if err == nil {
		err = get(plan, keyUpload, &rec.Upload)
	}
	var parts [][3]int64
	if err == nil {
		err = get(plan, keyParts, &parts)
	}
	if err != nil {
		return nil, err
	}
	for _, p := range parts {
		rec.Upload.Parts = append(rec.Upload.Parts, upload.Part{Number: int(p[0]), Offset: p[1], Size: p[2]})
	}
	rec.Upload.File = s.File
	over := ended(s.State) || s.State == upload.Corrupt
	if ended(s.State) != (rec.Outcome != nil) {
		return nil, damagedf("it is %q, and its outcome is %v", s.State, rec.Outcome)
	}
	if urls, err := within(tx, bucketURLs); err != nil && !over {
		return nil, err
	} else if err == nil {
		err := each(urls, func(k, v []byte) error {
			var g upload.Presigned
			err := decode(k, v, &g)
			rec.Presigned = append(rec.Presigned, g)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	receipts, err := within(tx, bucketReceipts)
	if err != nil {
		return nil, err
	}
	return rec, each(receipts, func(k, v []byte) error {
		var r upload.Receipt
		if err := decode(k, v, &r); err != nil {
			return err
		}
		rec.Receipts[r.Part] = r
		return nil
	})
}

// within is a bucket that every record has.
func within(tx *bbolt.Tx, name string) (*bbolt.Bucket, error) {
	if b := tx.Bucket([]byte(name)); b != nil {
		return b, nil
	}
	return nil, damagedf("no %s", name)
}

// get reads a value that a record must have.
func get(b *bbolt.Bucket, key string, v any) error {
	return decode([]byte(key), b.Get([]byte(key)), v)
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

const (
	checksumSize = 4
	// mostValue is more than any value takes. A longer one is a damaged length, and
	// is not to be read.
	mostValue = 64 << 20
)

// Times are exact to the nanosecond, strings may be any bytes.
var (
	encoder = mode(cbor.EncOptions{Time: cbor.TimeRFC3339Nano}.EncMode())
	decoder = mode(cbor.DecOptions{UTF8: cbor.UTF8DecodeInvalid, MaxArrayElements: mostValue}.DecMode())
)

func mode[T any](v T, err error) T {
	if err != nil {
		panic(err) // the options are constants
	}
	return v
}

// withChecksum encodes a value to be stored under a key.
func withChecksum(key []byte, v any) ([]byte, error) {
	doc, err := encoder.Marshal(v)
	if err != nil {
		return nil, err
	}
	return append(binary.BigEndian.AppendUint32(nil, checksum(key, doc)), doc...), nil
}

// checksum covers the key too, so that a value cannot pass for another's.
func checksum(key, doc []byte) uint32 {
	return crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, doc)
}

// decode reads what was stored under a key.
func decode(key, value []byte, v any) error {
	if len(key) > mostValue || len(value) > mostValue {
		return damagedf("a value is longer than any can be")
	}
	if len(value) < checksumSize || binary.BigEndian.Uint32(value) != checksum(key, value[checksumSize:]) {
		return damagedf("a value does not match its checksum")
	}
	if err := decoder.Unmarshal(value[checksumSize:], v); err != nil {
		return damagedf("%v", err)
	}
	return nil
}

// ID is that of the upload with this target and absolute path: 32 hex digits, of
// which the second half says the target alone, so that a file that moved is
// found by the names in the directory.
func ID(t upload.Target, path string) string {
	to := digest("target", t.Provider, t.Base, t.Name, t.Type, string(t.Options), t.Share)
	return digest("upload", to, path) + to
}

// digest hashes strings so that no two lists of them give the same: 16 hex
// digits.
func digest(ss ...string) string {
	h := sha256.New()
	for _, s := range ss {
		_, _ = h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(s))))
		_, _ = h.Write([]byte(s))
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// isID reports whether s can name an upload, and so a file.
func isID(s string) bool {
	return len(s) == 32 && strings.Trim(s, "0123456789abcdef") == ""
}
