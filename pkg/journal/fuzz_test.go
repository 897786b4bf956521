package journal

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/multiput/multiput/pkg/upload"
)

// FuzzDecode reads arbitrary values as each kind that a record has. What can be
// read must come back the same when it is stored again.
func FuzzDecode(f *testing.F) {
	r := sample()
	r.Receipts = map[int]upload.Receipt{1: {Value: "\"a b\"", ETag: "\xff", MD5: []byte{1}, CRC32C: 7, Checkpointed: true}}
	made, err := encode(r)
	if err != nil {
		f.Fatal(err)
	}
	for _, v := range [][]byte{made.head, made.updated, made.upload, made.parts, made.receipts[0].value, made.urls[0].value} {
		f.Add(v[sealSize:], 1)
	}
	f.Add([]byte(`crc32c=00000001 token="\"x\"" later=1 new`), 7)
	f.Fuzz(func(t *testing.T, body []byte, part int) {
		sealed := func(key []byte) []byte {
			return signed(key, append([]byte("00000000 "), body...))
		}
		key := partKey(part)
		if got, err := openReceipt(key, sealed(key)); err == nil {
			again, err := openReceipt(key, sealReceipt(got).value)
			if err != nil || !reflect.DeepEqual(got, again) {
				t.Errorf("receipt %+v\nagain   %+v %v", got, again, err)
			}
		} else if !errors.Is(err, errCorrupt) {
			t.Error(err)
		}
		if got, err := openParts(sealed([]byte(keyParts))); err == nil {
			again, err := openParts(sealParts(got))
			if err != nil || !reflect.DeepEqual(got, again) {
				t.Errorf("parts %+v\nagain %+v %v", got, again, err)
			}
		} else if !errors.Is(err, errCorrupt) {
			t.Error(err)
		}
		if got, err := openHead(sealed([]byte(keyHead))); err == nil {
			value, err := got.seal()
			if err == nil {
				_, err = openHead(value)
			}
			if err != nil {
				t.Errorf("head %+v: %v", got, err)
			}
		} else if !errors.Is(err, errCorrupt) {
			t.Error(err)
		}
		for _, at := range []struct{ in, key string }{{"", keyUpdated}, {"", keyOutcome}, {bucketPlan, keyUpload}, {bucketURLs, string(key)}, {"", "unknown"}} {
			if err := decode([]byte(at.key), sealed([]byte(at.key)), document(at.in, at.key)); err != nil && !errors.Is(err, errCorrupt) {
				t.Error(err)
			}
		}
		// Unsealed, it is nothing.
		if _, err := unseal(key, body); err == nil && !bytes.Equal(signed(key, bytes.Clone(body)), body) {
			t.Error("a wrong seal was taken")
		}
	})
}

// FuzzExamine looks at a small journal with bytes changed at a place, cut to a
// size: it comes to a verdict, and never to a panic.
func FuzzExamine(f *testing.F) {
	s := newSpecimen(f)
	f.Add(0, []byte{}, len(s.image))
	for page := range 6 {
		f.Add(page*s.pageSize, bytes.Repeat([]byte{0xff}, 16), len(s.image))
		f.Add(page*s.pageSize+16, []byte(strings.Repeat("\x01\x00\x00\x00", 4)), len(s.image)/2)
	}
	f.Fuzz(func(t *testing.T, at int, change []byte, size int) {
		image := bytes.Clone(s.image)
		if at >= 0 && at < len(image) {
			copy(image[at:], change)
		}
		// The sums of meta pages are made good, or nothing gets past them.
		for page := range 2 {
			p := image[page*s.pageSize+pageHeader:]
			if at/s.pageSize == page && len(change)%2 == 0 {
				endian.PutUint64(p[metaSize-8:], metaSum(p[:metaSize-8]))
			}
		}
		if size >= 0 && size < len(image) {
			image = image[:size]
		}
		for _, deep := range []bool{false, true} {
			err := examine(bytes.NewReader(image), int64(len(image)), deep)
			if err != nil && !errors.Is(err, errDamaged) && !errors.Is(err, errForeign) && !errors.Is(err, errNewer) {
				t.Error(fmt.Errorf("no verdict: %w", err))
			}
		}
	})
}
