package upload

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/json"
	"hash"
	"hash/crc32"
	"io"
	"time"

	"github.com/minio/crc64nvme"
)

// File is the local file, as a provider knows it.
type File struct {
	Path    string    `json:"path"` // absolute
	Name    string    `json:"name"` // the name the provider stores it under
	Type    string    `json:"type"` // media type, without parameters
	Size    int64     `json:"size"` // bytes
	ModTime time.Time `json:"mtime"`
	ID      string    `json:"id,omitempty"` // see source.Info

	// Content is the file itself, for a provider that has to know a digest
	// before the bytes are sent. Nil: they cannot be read beforehand.
	Content io.ReaderAt `json:"-"`
}

// Hint is what the client prefers for the plan. A provider that plans the parts
// may ignore it.
type Hint struct {
	PartSize int64 // bytes; 0 leaves it to the provider

	// Shared: other machines send the parts, with their presigned URLs alone.
	// Digests: the digests of the parts are known when those are signed.
	Shared, Digests bool

	// Begun is what an earlier attempt came to (Upload.Begun). Create continues with it.
	Begun Upload
}

// Part is a byte range of the file, with the number the provider knows it by.
// A number that the provider gave is echoed, never computed.
type Part struct {
	Number int   `json:"number"`
	Offset int64 `json:"offset"`
	Size   int64 `json:"size"`

	// Digest of its bytes, the one that Upload.Digest names, in base64. It is
	// known only of parts that other machines send; see DigestSigner.
	Digest string `json:"digest,omitempty"`
}

// Range is a run of bytes of the file.
type Range struct {
	Offset int64 `json:"offset"`
	Size   int64 `json:"size"`
}

// Presigned authorizes sending one part until Expires. It is a bearer token: it
// never appears in output, and is on disk only in an upload whose provider
// cannot issue it again.
type Presigned struct {
	Part    int               `json:"part"` // the number of the part it is for
	URL     string            `json:"url,omitempty"`
	Header  map[string]string `json:"header,omitempty"`
	Expires time.Time         `json:"expires,omitzero"` // zero: not known
}

// Receipt is the provider's proof that a part is stored.
type Receipt struct {
	Part  int    `json:"part"`           // the number of the part it is for
	Value string `json:"receipt"`        // an ETag, a part id, a part token: verbatim, quotes included
	ETag  string `json:"etag,omitempty"` // the store's ETag, where the provider passes it on

	// Own says that the client made Value, such as a digest of the part: comparing
	// it proves nothing.
	Own bool `json:"own,omitempty"`

	// Digests of the bytes that were sent, by which a later run proves that
	// the file still has them.
	CRC32C    uint32 `json:"crc32c"`
	CRC64NVME uint64 `json:"crc64nvme,omitempty"` // 0 where the upload does not take it
	MD5       []byte `json:"md5,omitempty"`       // nil where verification is off

	// Verified says that the provider compared a digest that came with the part.
	Verified bool `json:"verified,omitempty"`
	// VerifiedBy is which digest that was: one of the Digest constants, or none.
	VerifiedBy string `json:"verified_by,omitempty"`

	// Unconfirmed says that the part is stored, but counts only after
	// Confirmer.Confirm. It has the provider's data for that request.
	Unconfirmed json.RawMessage `json:"unconfirmed,omitempty"`

	// Known is further data of the provider about the part, for confirm, checkpoint
	// and complete; nil: none.
	Known json.RawMessage `json:"known,omitempty"`

	// Result is what the upload came to, where its one part completed it (see
	// Upload.Whole).
	Result *Result `json:"-"`
	// Data is what becomes Upload.Data then; nil: it stays as it is.
	Data json.RawMessage `json:"-"`

	// Checkpointed says that the provider has this receipt too.
	Checkpointed bool `json:"checkpointed,omitempty"`
}

// Upload is the upload of one file to one provider: what create returned, and the
// plan. With the secret, it is all that a Provider needs to continue, in this
// process or in a later one. It contains no secret.
type Upload struct {
	ID        string    `json:"id"`                  // the provider's id of the upload
	File      File      `json:"file"`                // as it was when the upload was created
	Expires   time.Time `json:"expires,omitzero"`    // when the upload expires; zero: not known
	Digest    string    `json:"digest,omitempty"`    // the whole-file digest that complete takes: one of the Digest constants, or none
	Renewable bool      `json:"renewable,omitempty"` // whether Provider.Presign can issue new urls

	// Whole says that the file is one part, whose request completes the upload:
	// Put is called instead of Complete, once it is durable that it may have
	// been, and Receipt.Result is the result.
	Whole bool `json:"whole,omitempty"`

	// TakenOver says that the upload existed before this client used it: it may
	// belong to another user, and is aborted only on request.
	TakenOver bool `json:"taken_over,omitempty"`

	// Begun says, of an Upload that comes with a temporary error, that the provider
	// answered some requests of Create, and asked for the next one to be repeated.
	Begun bool `json:"-"`

	// Parts is the plan: every part that this client sends, by ascending offset.
	// From Create, nil leaves the plan to the client.
	Parts []Part `json:"parts"`
	// Existing are the ranges that the provider had before this client used the upload.
	// They are not sent, and only a digest of the whole file verifies them.
	Existing []Range `json:"existing,omitempty"`

	// Origin is the description of the provider that it was created with.
	Origin Origin `json:"origin,omitzero"`

	// Asked is the part size that was requested when it was created; 0: none.
	Asked int64 `json:"asked,omitempty"`

	// Aborted says of a corrupt upload that nothing is left to abort.
	Aborted bool `json:"aborted,omitempty"`

	// Planned says that other machines may send its parts.
	Planned bool `json:"planned,omitempty"`

	// Data is the provider's own: opaque to the engine.
	Data json.RawMessage `json:"data,omitempty"`
}

// Origin is a file that describes a provider, such as a manifest.
type Origin struct {
	Path string `json:"path"` // absolute; empty: there is none
	Sum  string `json:"sum"`  // of its text, to tell whether that has changed
}

// The whole-file digests an upload may ask for at its end.
const (
	DigestCRC32C    = "crc32c"
	DigestCRC64NVME = "crc64nvme"
	DigestMD5       = "md5"
	DigestSHA1      = "sha1"
	DigestSHA256    = "sha256"
)

// NewHash computes the digest of a name; nil: it is none of these.
func NewHash(digest string) hash.Hash {
	switch digest {
	case DigestCRC32C:
		return crc32.New(crc32.MakeTable(crc32.Castagnoli))
	case DigestCRC64NVME:
		return crc64nvme.New()
	case DigestMD5:
		return md5.New()
	case DigestSHA1:
		return sha1.New()
	case DigestSHA256:
		return sha256.New()
	}
	return nil
}

// Digests are those of the whole file, as far as the upload asked for them.
// A nil slice was not asked for.
type Digests struct {
	CRC32C    []byte // 4 bytes, big-endian
	CRC64NVME []byte // 8 bytes, big-endian
	MD5       []byte // 16 bytes
	SHA1      []byte // 20 bytes
	SHA256    []byte // 32 bytes
}

// ByName are all digests by their names; one that was not asked for is nil.
func (d Digests) ByName() map[string][]byte {
	return map[string][]byte{
		DigestCRC32C: d.CRC32C, DigestCRC64NVME: d.CRC64NVME, DigestMD5: d.MD5, DigestSHA1: d.SHA1, DigestSHA256: d.SHA256,
	}
}

// Result is the result of an upload.
type Result struct {
	Value string          `json:"value"` // the one line a script waits for: an id, a path, a URL
	Reply json.RawMessage `json:"reply"` // the provider's own answer to complete
}

// State is how far an upload has come. Each is on disk before what follows it.
type State string

// The states of an upload, in the order it goes through them.
const (
	Sending    State = "sending"    // created; parts are being sent
	Completing State = "completing" // complete may have been sent
	Waiting    State = "waiting"    // the provider confirmed; it still processes the file
	Done       State = "done"       // the provider confirmed; the result is stored
	Delivered  State = "delivered"  // the result was printed

	// Corrupt: instead of Done, the provider found that the assembled object is not
	// the file. Its parts cannot be used again.
	Corrupt State = "corrupt"
)

// Record is what the journal remembers of one upload.
type Record struct {
	Target    Target          `json:"target"`
	Path      string          `json:"path"` // absolute path of the file; moves with it
	State     State           `json:"state"`
	Started   time.Time       `json:"started"`
	Updated   time.Time       `json:"updated"`
	Upload    Upload          `json:"upload"`
	Presigned []Presigned     `json:"urls,omitempty"`     // only where Upload.Renewable is false
	Receipts  map[int]Receipt `json:"receipts,omitempty"` // by part number
	Outcome   *Outcome        `json:"outcome,omitempty"`  // from Waiting or Done on
}

// Has reports whether a part is stored and counts: it needs no confirmation.
func (r *Record) Has(part int) bool {
	receipt, ok := r.Receipts[part]
	return ok && receipt.Unconfirmed == nil
}

// Outcome is the recorded outcome of an upload: enough to report it again.
type Outcome struct {
	Result       Result `json:"result"`
	Verification string `json:"verification"`
}

// Target is where a file goes. With the path of the file it is the identity of
// an upload: the same command finds the same upload.
type Target struct {
	Provider string          `json:"provider"`
	Base     string          `json:"base"`              // the address of the API; empty for the sandbox, whose address changes
	Name     string          `json:"name"`              // the name the provider stores the file under
	Type     string          `json:"type"`              // media type, if one was asked for
	Options  json.RawMessage `json:"options,omitempty"` // the options that were set, canonical JSON, without the secret ones
	Share    string          `json:"share,omitempty"`   // which part of a planned upload it is, where another machine planned it; see Share
}
