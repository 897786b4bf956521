package s3

import (
	"cmp"
	"encoding/json"
	"strconv"
)

// An upload that another client began may have been given a checksum that this one
// does not choose: of each part, but not of the whole (COMPOSITE), or one that is not
// combined here. Its parts are sent with theirs, which complete has to name again. The
// whole is then verified by ETags, as everywhere.

// composite is the type of a checksum that is none of the whole object.
const composite = "COMPOSITE"

// checksums are what the parts of an upload carry.
type checksums struct{ algorithm, kind string }

// carries is the checksum that each part carries; empty: none.
func (d data) carries() string { return cmp.Or(d.Sum, d.PartSum) }

// known is how a receipt keeps a checksum for complete.
func known(sum string) json.RawMessage { return json.RawMessage(strconv.Quote(sum)) } // base64

// sum is the checksum of a part that the store has.
func (s storedPart) sum(name string) string {
	return map[string]string{"crc32": s.ChecksumCRC32, "crc32c": s.ChecksumCRC32C, "sha1": s.ChecksumSHA1, "sha256": s.ChecksumSHA256}[name]
}

// setSum names the checksum of a part.
func (c *completedPart) setSum(name string, kept json.RawMessage) {
	to := map[string]*string{"crc32": &c.ChecksumCRC32, "crc32c": &c.ChecksumCRC32C, "sha1": &c.ChecksumSHA1, "sha256": &c.ChecksumSHA256}[name]
	if to != nil {
		_ = json.Unmarshal(kept, to) // without one, the store says that it is missing
	}
}
