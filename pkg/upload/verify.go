package upload

import (
	"bytes"
	"encoding/hex"
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
	VerifiedETag   = "etag"   // the ETag of every part is the MD5 of what was sent
	Unverified     = "unverified"
)

// opaqueAfter is how many ETags in a row must differ from the MD5 of their
// parts, with none equal, before the store is taken to answer with something
// else.
const opaqueAfter = 4

// verifier compares receipts with what was sent. A store's ETags are MD5s or
// they are not: the first that is one says that all must be, those before it
// included.
type verifier struct {
	mu     sync.Mutex
	md5    bool // one ETag was its part's MD5
	others int  // ETags that were not
}

type verdict int

const (
	open     verdict = iota // nothing is known of this store's ETags
	proven                  // the ETag is the MD5
	mismatch                // it is not, and others are
)

func (v *verifier) judge(r Receipt) verdict {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case matches(r):
		v.md5 = true
		return proven
	case v.md5:
		return mismatch
	}
	v.others++
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
	return v.others >= opaqueAfter || !looksLikeMD5(r)
}

// byMD5 reports whether this store's ETags are MD5s.
func (v *verifier) byMD5() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.md5
}

func etag(r Receipt) string {
	t := r.ETag
	if t == "" {
		t = r.Token
	}
	return strings.Trim(strings.TrimPrefix(t, "W/"), `"`)
}

func looksLikeMD5(r Receipt) bool {
	_, err := hex.DecodeString(etag(r))
	return err == nil && len(etag(r)) == 32
}

func matches(r Receipt) bool {
	sum, err := hex.DecodeString(etag(r))
	return err == nil && r.MD5 != nil && bytes.Equal(sum, r.MD5)
}
