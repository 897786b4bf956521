package upload

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strings"
	"sync"
)

// Checksum says how much proof an upload wants.
type Checksum int

// The kinds of proof.
const (
	ChecksumAuto    Checksum = iota // verify by whatever the provider offers
	ChecksumRequire                 // and fail where it offers nothing
	ChecksumOff                     // do not hash for verification
)

// What an upload was verified by, as Report.Verification says it.
const (
	VerifiedCRC32C = "crc32c" // the provider compared the CRC-32C of the whole file
	VerifiedMD5    = "md5"    // the provider compared the MD5 of the whole file
	VerifiedSHA1   = "sha1"   // the provider compared the SHA-1 of the whole file
	VerifiedETag   = "etag"   // the ETag of every part is the MD5 of what was sent
	Unverified     = "unverified"
)

// errUnproven: verification was required, and there is nothing to verify by.
var errUnproven = fmt.Errorf("the provider's receipts are no checksums of the parts, and it takes none of the file: %w", ErrUnverified)

// opaqueAfter is how many parts must have ETags that differ from their MD5,
// with none equal, before the store is taken to answer with something else.
const opaqueAfter = 4

// verifier compares receipts with what was sent. A store's ETags are MD5s or
// they are not: the first that is one says that all must be, those before it
// included.
type verifier struct {
	mu     sync.Mutex
	md5    bool         // one ETag was its part's MD5
	others map[int]bool // the parts whose ETag was not

	saidMD5, saidOpaque bool // see news
}

type verdict int

const (
	open     verdict = iota // nothing is known of this store's ETags
	proven                  // the ETag is the MD5
	mismatch                // it is not, and others are
)

// judge compares a receipt with what was sent. One whose part was not hashed
// says nothing.
func (v *verifier) judge(r Receipt) verdict {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case r.MD5 == nil:
		return open
	case matches(r):
		v.md5 = true
		delete(v.others, r.Part)
		return proven
	case v.md5:
		return mismatch
	}
	if v.others == nil {
		v.others = make(map[int]bool)
	}
	v.others[r.Part] = true
	return open
}

// settled reports whether a receipt may be handed on for good.
func (v *verifier) settled(r Receipt) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if r.MD5 == nil {
		return true // not hashed: there is nothing to compare
	}
	if v.md5 {
		return matches(r)
	}
	return len(v.others) >= opaqueAfter || !looksLikeMD5(r)
}

// byMD5 reports whether this store's ETags are MD5s.
func (v *verifier) byMD5() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.md5
}

// hopeless reports whether this store's ETags are known to be something else.
func (v *verifier) hopeless() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return !v.md5 && len(v.others) >= opaqueAfter
}

// judgeAll lets the verifier see all receipts, those of an earlier run
// included, and gives the parts that are not what was sent. Two rounds: the
// first match condemns those before it.
func (r *run) judgeAll(rec *Record) (bad []int) {
	for range 2 {
		bad = nil
		for _, p := range rec.Upload.Parts {
			if receipt, ok := rec.Receipts[p.Number]; ok && r.verify.judge(receipt) == mismatch {
				bad = append(bad, p.Number)
			}
		}
	}
	return bad
}

// verification is what an upload whose parts are all stored is verified by,
// once the provider confirms it.
func (r *run) verification(rec *Record) string {
	switch rec.Upload.Digest {
	case DigestCRC32C:
		return VerifiedCRC32C
	case DigestMD5:
		return VerifiedMD5
	case DigestSHA1:
		return VerifiedSHA1
	}
	// Ranges that we did not send are there only with a digest of the whole.
	for _, p := range rec.Upload.Parts {
		if !matches(rec.Receipts[p.Number]) {
			return Unverified
		}
	}
	return VerifiedETag
}

func etag(r Receipt) string {
	t := r.ETag
	if t == "" {
		t = r.Value
	}
	return strings.Trim(strings.TrimPrefix(t, "W/"), `"`)
}

func looksLikeMD5(r Receipt) bool {
	_, ok := digestOf(r)
	return ok
}

func matches(r Receipt) bool {
	sum, ok := digestOf(r)
	return ok && r.MD5 != nil && bytes.Equal(sum[:], r.MD5)
}

// digestOf reads an ETag that could be an MD5.
func digestOf(r Receipt) (sum [16]byte, ok bool) {
	t := etag(r)
	if len(t) != hex.EncodedLen(len(sum)) {
		return sum, false
	}
	var text [32]byte
	copy(text[:], t)
	_, err := hex.Decode(sum[:], text[:])
	return sum, err == nil
}
