package upload

import (
	"fmt"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
)

// explainRecord says what this call does with what the journal has: found is
// what it had under this file and target, rec what is gone on with.
func (r *run) explainRecord(found, rec *Record) {
	switch {
	case rec == nil && found == nil:
		r.note("not found in the journal: this is a new upload")
	case rec == nil && found.State == Delivered:
		r.note("found in the journal: the last upload of this file came to its end at %s: this is a new one", found.Updated.Format(time.RFC3339))
	case rec == nil && found.State == Corrupt:
		r.note("found in the journal: what the provider put together of upload %s was not the file: this is a new one", found.Upload.ID)
	case rec == nil && found.State == Done:
		r.note("found in the journal: upload %s, which is done, of another file or not wanted: this is a new one", found.Upload.ID)
	case rec == nil: // why was said as a warning
	case rec.State == Done:
		r.note("found in the journal: upload %s is done: only its result is still to be delivered", rec.Upload.ID)
	case rec.State == Completing:
		r.note("found in the journal: complete may have been sent for upload %s, and no answer came: it is asked for again", rec.Upload.ID)
	default:
		r.note("found in the journal: resuming upload %s, %d of %d parts are stored", rec.Upload.ID, len(rec.Receipts), len(rec.Upload.Parts))
	}
	if rec != nil && found == nil {
		r.note("it was recorded under another path, where the file no longer is; every stored part is in this file")
	}
	if r.overdue {
		r.note("by this machine's clock upload %s ended at %s: one part is sent, to hear what the provider says of it", rec.Upload.ID, rec.Upload.Expires.Format(time.RFC3339))
	}
}

// explainPlan says what is to be sent, and what is known of its time.
func (r *run) explainPlan(up Upload, ours bool, urls int) {
	whose := "the provider's"
	if ours {
		whose = "ours, as the provider has none"
	}
	s := fmt.Sprintf("plan: upload %s, %s, which is %s", up.ID, partsOf(up.Parts), whose)
	if n := len(up.Held); n > 0 {
		s += fmt.Sprintf("; it has %d ranges of the file already", n)
	}
	switch {
	case urls == 0:
		s += "; leave to send is asked for part by part"
	case up.Renewable:
		s += fmt.Sprintf("; leave to send %d of them came with it, and can be had anew", urls)
	default:
		s += fmt.Sprintf("; leave to send %d of them came with it, and cannot be had again", urls)
	}
	if !up.Expires.IsZero() {
		s += "; the upload " + comes(time.Until(up.Expires))
	}
	r.note("%s", s)
}

func partsOf(parts []Part) string {
	switch len(parts) {
	case 0:
		return "no part"
	case 1:
		return "1 part of " + humanize.IBytes(uint64(parts[0].Size))
	}
	return fmt.Sprintf("%d parts of %s", len(parts), humanize.IBytes(uint64(parts[0].Size)))
}

// numbers names parts, the first few.
func numbers(parts []Part) string {
	const most = 8
	words := make([]string, 0, most+1)
	for i, p := range parts {
		if i == most {
			words = append(words, fmt.Sprintf("and %d more", len(parts)-most))
			break
		}
		words = append(words, fmt.Sprint(p.Number))
	}
	if len(parts) == 1 {
		return "part " + words[0]
	}
	return "parts " + strings.Join(words, ", ")
}

// news is what the verifier found out about the store, said once each.
func (v *verifier) news() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case v.md5 && !v.saidMD5:
		v.saidMD5 = true
		return "verification: an ETag is the MD5 of its part, so that of every part has to be"
	case !v.md5 && len(v.others) >= opaqueAfter && !v.saidOpaque:
		v.saidOpaque = true
		return fmt.Sprintf("verification: of %d parts no ETag is the MD5: this store's are something else, and prove nothing", len(v.others))
	}
	return ""
}

// explainComplete says what complete is sent with, and what vouches for it.
func (r *run) explainComplete(receipts int, verified string) {
	by := map[string]string{
		VerifiedCRC32C: "the provider compares the CRC-32C of the whole file",
		VerifiedMD5:    "the provider compares the MD5 of the whole file",
		VerifiedETag:   "the ETag of every part is the MD5 of what was sent",
		Unverified:     "the provider offers nothing to compare",
	}[verified]
	r.note("complete: all parts are stored, sending the receipts of %d; verification: %s", receipts, by)
}

// explainProbe says what came of asking how an upload ended.
func (r *run) explainProbe(a Answer, err error) {
	switch {
	case err != nil:
		r.note("asked whether it was completed: %v", err)
	case a == Completed:
		r.note("asked whether it was completed: it was")
	case a == NotCompleted:
		r.note("asked whether it was completed: it was not")
	default:
		r.note("asked whether it was completed: the answer leaves it open")
	}
}
