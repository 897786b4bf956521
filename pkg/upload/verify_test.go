package upload_test

import (
	"context"
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/multiput/multiput/pkg/upload"
)

func hexMD5(data []byte) string {
	sum := md5.Sum(data)
	return hex.EncodeToString(sum[:])
}

func TestVerification(t *testing.T) {
	etags := map[string]struct {
		etag func(part int, data []byte) string
		md5  bool
	}{
		"quoted":          {plainETag, true},
		"bare":            {func(_ int, d []byte) string { return hexMD5(d) }, true},
		"upper case":      {func(_ int, d []byte) string { return strings.ToUpper(hexMD5(d)) }, true},
		"weak":            {func(_ int, d []byte) string { return `W/"` + hexMD5(d) + `"` }, true},
		"opaque":          {opaqueETag, false},
		"part ids":        {tokenETag, false},
		"multipart":       {func(_ int, d []byte) string { return `"` + hexMD5(d) + `-1"` }, false},
		"base64":          {func(_ int, d []byte) string { s := md5.Sum(d); return base64.StdEncoding.EncodeToString(s[:]) }, false},
		"half an MD5":     {func(_ int, d []byte) string { return hexMD5(d)[:16] }, false},
		"no hex, as long": {func(p int, _ []byte) string { return fmt.Sprintf("%032d", p)[1:] + "x" }, false},
	}
	for name, e := range etags {
		for _, digest := range []string{"", upload.DigestCRC32C, upload.DigestMD5} {
			for _, sum := range []upload.Checksum{upload.ChecksumAuto, upload.ChecksumRequire, upload.ChecksumOff} {
				t.Run(fmt.Sprintf("%s, digest %q, checksum %d", name, digest, sum), func(t *testing.T) {
					bubble(t, func(t *testing.T) {
						r := newRig(t, 10_500)
						r.cloud.etag, r.cloud.digest, r.checksum = e.etag, digest, sum
						rep, err := r.run(t.Context())
						want := upload.Unverified
						switch {
						case digest != "":
							want = digest // the names are the same
						case e.md5 && sum != upload.ChecksumOff:
							want = upload.VerifiedETag
						}
						if want == upload.Unverified && sum == upload.ChecksumRequire {
							if !errors.Is(err, upload.ErrUnverified) || r.cloud.completes != 0 || len(r.cloud.objects) != 0 {
								t.Errorf("error %v, %d completes", err, r.cloud.completes)
							}
							if rep.PartsStored > 4+r.concurrency {
								t.Errorf("%d parts were sent for nothing", rep.PartsStored)
							}
							// Without the requirement it goes on from there.
							r.checksum = upload.ChecksumAuto
							r.ok()
							r.once("u1")
							return
						}
						if err != nil {
							t.Fatal(err)
						}
						r.check(rep)
						if rep.Verification != want || r.delivered[0].Verification != want {
							t.Errorf("verified by %q, want %q", rep.Verification, want)
						}
						hashed := 0
						for _, receipt := range r.journal.of("u1").Receipts {
							if receipt.MD5 != nil {
								hashed++
							}
						}
						// Once the ETags are known not to be MD5s, few more are computed.
						switch {
						case sum == upload.ChecksumOff && hashed > 0, sum != upload.ChecksumOff && e.md5 && hashed != rep.Parts,
							sum != upload.ChecksumOff && !e.md5 && (hashed < 1 || hashed > 4+2*r.concurrency+rep.Parts/8):
							t.Errorf("the MD5 of %d parts was computed", hashed)
						}
					})
				})
			}
		}
	}
}

// The token may be something else, with the ETag beside it.
func TestETagBesideTheToken(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, 5000)
		r.provider = beside{r.cloud}
		r.cloud.etag = tokenETag
		if rep := r.ok(); rep.Verification != upload.VerifiedETag {
			t.Errorf("%+v", rep)
		}
	})
}

type beside struct{ *cloud }

func (b beside) Put(ctx context.Context, u upload.Upload, g upload.Presigned, p upload.Part, body io.Reader) (upload.Receipt, error) {
	h := md5.New()
	rc, err := b.cloud.Put(ctx, u, g, p, io.TeeReader(body, h))
	rc.ETag = `"` + hex.EncodeToString(h.Sum(nil)) + `"`
	return rc, err
}

// TestDamage flips bytes on their way. What is found is sent again; what was
// handed on before is right.
func TestDamage(t *testing.T) {
	first := func(parts ...int) func(n int, p upload.Part) bool {
		return func(n int, p upload.Part) bool {
			for _, d := range parts {
				if d == p.Number {
					return n == 1
				}
			}
			return false
		}
	}
	for name, test := range map[string]struct {
		damage func(n int, p upload.Part) bool
		lost   int // parts that counted as stored
		again  int // tries
	}{
		"the first, before any is known": {first(1), 1, 0},
		"three before any is known":      {first(1, 2, 3), 3, 0},
		"one in the middle":              {first(5), 0, 1},
		"the last":                       {first(10), 0, 1},
		"first and last":                 {first(1, 10), 1, 1},
		"all but the last":               {first(1, 2, 3, 4, 5, 6, 7, 8, 9), 9, 0},
		"one, again and again":           {func(n int, p upload.Part) bool { return p.Number == 5 && n < 5 }, 0, 4},
		"the first, twice":               {func(n int, p upload.Part) bool { return p.Number == 1 && n < 3 }, 1, 1},
	} {
		for _, check := range []bool{false, true} {
			if check && test.lost > 3 {
				continue // handed on as opaque: TestDamageThatWasCheckpointed
			}
			t.Run(fmt.Sprintf("%s, checkpoints %t", name, check), func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					r := newRig(t, 10_000)
					r.concurrency = 1
					r.cloud.damage = test.damage
					if check {
						r.checkpoints()
					}
					rep := r.ok()
					if rep.Verification != upload.VerifiedETag || rep.PartsReused != 0 || rep.Upload != "u1" {
						t.Errorf("%+v", rep)
					}
					if lost, again := len(told[upload.Lost](r)), len(told[upload.Retrying](r)); lost != test.lost || again != test.again {
						t.Errorf("%d lost, %d retried; want %d and %d", lost, again, test.lost, test.again)
					}
				})
			})
		}
	}
}

// Four damaged parts before the first sound one look like a store with opaque
// ETags, and are handed on. When that turns out wrong, they cannot be taken
// back: a new upload is the way.
func TestDamageThatWasCheckpointed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, 10_000)
		r.concurrency = 1
		r.checkpoints()
		r.cloud.takes = 1 // so that the checkpoints come between
		r.cloud.damage = func(n int, p upload.Part) bool { return p.Number <= 5 && r.cloud.ids == 1 }
		rep := r.ok()
		if rep.Upload != "u2" || rep.Verification != upload.VerifiedETag || len(r.cloud.aborted) != 1 {
			t.Errorf("%+v, aborted %v", rep, r.cloud.aborted)
		}
	})
}

func TestDamageWithoutEnd(t *testing.T) {
	for _, part := range []int{1, 5} {
		bubble(t, func(t *testing.T) {
			r := newRig(t, 10_000)
			r.concurrency = 1
			r.cloud.damage = func(_ int, p upload.Part) bool { return p.Number == part }
			rep, err := r.run(t.Context())
			if !errors.Is(err, upload.ErrChecksum) || r.cloud.completes != 0 {
				t.Errorf("error %v, %d completes", err, r.cloud.completes)
			}
			if rec := r.journal.of("u1"); rec.State != upload.Sending || rep.PartsStored != len(rec.Receipts) {
				t.Errorf("%+v, and in the journal %d receipts", rep, len(rec.Receipts))
			} else if _, ok := rec.Receipts[part]; ok {
				t.Error("a damaged part has a receipt in the journal")
			}
			r.cloud.damage = nil
			r.ok()
		})
	}
}

// Damage of the last run, found by this one: it was killed before anything was
// known. The receipts must not reach the provider before that.
func TestDamageFoundByTheNextRun(t *testing.T) {
	for _, n := range []int{1, 2, 3} {
		bubble(t, func(t *testing.T) {
			r := newRig(t, 10_000)
			r.checkpoints()
			r.cloud.damage = func(int, upload.Part) bool { return true }
			r.half(n)
			r.cloud.damage = nil
			r.concurrency = 1
			r.cloud.takes = 1
			rep := r.ok()
			if rep.Upload != "u1" || rep.PartsReused != 0 || len(told[upload.Lost](r)) != n {
				t.Errorf("%d damaged: %+v, %d lost", n, rep, len(told[upload.Lost](r)))
			}
		})
	}
}

// With verification off, now and then.
func TestOffAndOn(t *testing.T) {
	off, auto, require := upload.ChecksumOff, upload.ChecksumAuto, upload.ChecksumRequire
	for name, test := range map[string]struct {
		first, second upload.Checksum
		damage        int // the part that is damaged in the first run
		lost          int
		want          string
	}{
		"off, then on":                  {off, auto, 0, 0, upload.VerifiedETag},
		"off, then required":            {off, require, 0, 0, upload.VerifiedETag},
		"on, then off":                  {auto, off, 0, 0, upload.Unverified},
		"off, damaged, then on":         {off, auto, 2, 1, upload.VerifiedETag},
		"off, damaged, then required":   {off, require, 2, 0, upload.VerifiedETag}, // found before it counts
		"on, damaged at first, then on": {auto, auto, 1, 0, upload.VerifiedETag},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t, 10_000)
				r.checksum = test.first
				r.cloud.damage = func(n int, p upload.Part) bool { return p.Number == test.damage && n == 1 }
				r.half(5)
				r.checksum = test.second
				rep := r.ok()
				if rep.Verification != test.want || rep.Upload != "u1" || rep.PartsReused != 5-min(test.damage, 1) {
					t.Errorf("%+v", rep)
				}
				if lost := len(told[upload.Lost](r)); lost != test.lost {
					t.Errorf("%d lost, want %d", lost, test.lost)
				}
			})
		})
	}
	t.Run("all stored, then required", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			r := newRig(t, 10_000)
			r.checksum = off
			r.concurrency = 1         // a write for each receipt
			if !r.killed(12, false) { // before it says "completing"
				t.Fatal("it was not killed")
			}
			r.checksum = require
			if rep := r.ok(); rep.Verification != upload.VerifiedETag || rep.BytesSent != 0 {
				t.Errorf("%+v", rep)
			}
		})
	})
	t.Run("off, edited with its time set back, then on", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			r := newRig(t, 10_000)
			r.checksum = off
			r.half(5)
			r.write(flipped(r.content, 0), 0)
			r.checksum = auto
			// Seen by comparing, or by what else the system knows of the file.
			rep, err := r.run(t.Context())
			if err == nil {
				r.check(rep)
			} else if !errors.Is(err, upload.ErrChanged) || r.cloud.completes != 0 {
				t.Errorf("error %v", err)
			}
		})
	})
	t.Run("off, damaged, checkpointed, then on", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			r := newRig(t, 10_000)
			r.checkpoints()
			r.cloud.takes = 1
			r.checksum = off
			r.cloud.damage = func(_ int, p upload.Part) bool { return p.Number == 1 && r.cloud.ids == 1 }
			r.half(5)
			r.checksum = auto
			if rep := r.ok(); rep.Upload != "u2" || rep.Verification != upload.VerifiedETag {
				t.Errorf("%+v", rep)
			}
		})
	})
}

// What the cloud had before is proven by the digest of the whole alone.
func TestHeldRanges(t *testing.T) {
	for name, held := range map[string][]upload.Range{
		"the first":        {{Offset: 0, Size: 1000}},
		"some":             {{Offset: 2000, Size: 1000}, {Offset: 0, Size: 1000}, {Offset: 7000, Size: 3000}},
		"all":              {{Offset: 0, Size: 10_000}},
		"the last, a byte": {{Offset: 9999, Size: 1}},
	} {
		for _, digest := range []string{upload.DigestCRC32C, upload.DigestMD5} {
			for _, right := range []bool{true, false} {
				if name == "the last, a byte" && digest == upload.DigestMD5 {
					continue
				}
				t.Run(fmt.Sprintf("%s, %s, right %t", name, digest, right), func(t *testing.T) {
					bubble(t, func(t *testing.T) {
						r := newRig(t, 10_000)
						r.cloud.held, r.cloud.digest = held, digest
						if name == "the last, a byte" {
							r.cloud.partSize = 9999
						}
						for _, h := range held {
							for i := range h.Size {
								r.content[h.Offset+i] = heldByte
							}
						}
						if !right {
							r.content[held[0].Offset] ^= 1
						}
						r.write(r.content, 0)
						rep, err := r.run(t.Context())
						if !right {
							if !errors.Is(err, upload.ErrRefused) || r.journal.state("u1") != upload.Sending || len(r.cloud.objects) != 0 {
								t.Errorf("error %v", err)
							}
							return
						}
						if err != nil {
							t.Fatal(err)
						}
						r.check(rep)
						if rep.Verification != digest {
							t.Errorf("%+v", rep)
						}
					})
				})
			}
		}
	}
}

// A provider that is satisfied with half a part is not believed.
func TestConfirmedTooSoon(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, 3000)
		r.provider = partialReader{r.cloud}
		_, err := r.run(t.Context())
		if !errors.Is(err, upload.ErrChecksum) || len(r.journal.of("u1").Receipts) != 0 {
			t.Errorf("error %v", err)
		}
	})
}

type partialReader struct{ *cloud }

func (partialReader) Put(_ context.Context, _ upload.Upload, _ upload.Presigned, p upload.Part, body io.Reader) (upload.Receipt, error) {
	_, err := io.CopyN(io.Discard, body, p.Size/2)
	return upload.Receipt{Part: p.Number, Value: "x"}, err
}
