package progress

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/multiput/multiput/pkg/internal/text"
	"github.com/multiput/multiput/pkg/transport"
	"github.com/multiput/multiput/pkg/upload"
)

// Hint says what a user can do about a warning: the words are the program's, whose
// flags are not known here. It is nil, or its answer empty, where there is nothing.
type Hint func(upload.Warning) string

// Text is [Text], and the hint behind it.
func (h Hint) Text(e upload.Event) string {
	s := Text(e)
	if w, is := e.(upload.Warning); is && h != nil {
		if hint := h(w); hint != "" {
			s += "; " + hint
		}
	}
	return s
}

// Text puts a warning or a note into words; it is empty for other events. It has
// no control characters, and no secrets that can be told by their shape.
func Text(e upload.Event) string {
	switch e := e.(type) {
	case upload.Warning:
		return transport.Clean(warning(e))
	case upload.Note:
		return transport.Clean(note(e))
	case upload.Finishing:
		return finishing(e)
	case upload.Lost:
		return fmt.Sprintf("re-sending part %d: its ETag is not the MD5 of what was sent", e.Part.Number)
	}
	return ""
}

// kept says what is kept of an upload that the provider had.
func kept(e upload.TookOver) string {
	all := are(e.Parts) + " stored"
	if len(e.Differ) > 0 {
		verb := "differ"
		if len(e.Differ) == 1 {
			verb = "differs"
		}
		all += fmt.Sprintf("; re-sending %s, which %s from the file", numbers(e.Differ), verb)
	}
	return all
}

func warning(w upload.Warning) string {
	switch e := w.(type) {
	case upload.StartingOver:
		return "starting over: " + reason(e)
	case upload.CompletedElsewhere:
		return fmt.Sprintf("upload %s was completed by another run since the journal was written: this is its result", e.Upload)
	case upload.Resending:
		return fmt.Sprintf("the file changed: re-sending %d of its stored parts", e.Parts)
	case upload.Mismatched:
		return fmt.Sprintf("%v: re-sending it", e.Err)
	case upload.TookOver:
		return fmt.Sprintf("resuming upload %s, which the provider has: %s", e.Upload, kept(e))
	case upload.PartSizeIgnored:
		if e.Stored > 0 {
			return fmt.Sprintf("%s stored with a part size of %d bytes, which the upload keeps instead of %d", are(e.Stored), e.Has, e.Asked)
		}
		if e.Planned {
			return fmt.Sprintf("the upload is planned with a part size of %d bytes, which it keeps instead of %d", e.Has, e.Asked)
		}
		if e.Multiple > 0 {
			return fmt.Sprintf("the part size is rounded from %d to %d bytes: the provider takes multiples of %d", e.Asked, e.Has, e.Multiple)
		}
		return fmt.Sprintf("the provider chose a part size of %d bytes instead of %d", e.Has, e.Asked)
	case upload.ClockSkew:
		return text.Skew(e.Skew) + "; expiry times are corrected by that"
	case upload.Outage:
		return fmt.Sprintf("cannot reach the provider (%v): retrying for up to %s", e.Err, text.Duration(e.For))
	case upload.AbortFailed:
		return fmt.Sprintf("could not abort upload %s at the provider: %v", e.Upload, e.Err)
	case upload.AbortTooLate:
		return fmt.Sprintf("upload %s was completed before it could be aborted: the provider may have the file twice", e.Upload)
	case upload.OriginChanged:
		return fmt.Sprintf("the manifest %s has changed since upload %s was started: its current version is used", e.Path, e.Upload)
	case upload.CheckpointFailed:
		return fmt.Sprintf("checkpoint failed: %v", e.Err)
	case upload.Late:
		return late(e.Lack)
	case upload.NeedsRate:
		what := "the provider ends the upload in"
		if e.URLs {
			what = "the provider issues presigned URLs once, and they expire in"
		}
		return fmt.Sprintf("%s %s: sending %s in time takes %s (%.0f Mbit/s) or more", what, text.Duration(e.Have), text.Bytes(e.Bytes), text.Rate(e.Rate), e.Rate*8/1e6)
	case upload.LargerParts:
		return fmt.Sprintf("at %s not all parts would begin within the %s that presigned URLs are valid: requesting parts of %s", text.Rate(e.Rate), text.Duration(e.Life), text.IBytes(e.PartSize))
	}
	return fmt.Sprintf("%T", w)
}

func reason(e upload.StartingOver) string {
	switch e.Reason {
	case upload.Asked:
		return "a restart was requested"
	case upload.SizeChanged:
		return fmt.Sprintf("the file had %d bytes and has %d", e.Was, e.Is)
	case upload.RememberedChanged:
		return "the file changed in a part that was reported to the provider and cannot be replaced"
	case upload.EndedChanged:
		return "the file changed after its last part was stored"
	case upload.PlannedChanged:
		return "the file changed since it was planned, and parts may be stored of it as it was"
	case upload.PartSizeChanged:
		return fmt.Sprintf("no part is stored, and the part size is %d bytes now instead of %d", e.Is, e.Was)
	case upload.BadPlan, upload.Ended:
	}
	return e.Err.Error()
}

func late(l upload.Lack) string {
	if l.URLs {
		return fmt.Sprintf("at %s the last parts begin in %s, and their presigned URLs %s; this provider issues no new ones",
			text.Rate(l.Rate), text.Duration(l.Need), expiry(l.Have, "expire"))
	}
	return fmt.Sprintf("at %s the rest (%s) takes %s, and the upload %s",
		text.Rate(l.Rate), text.Bytes(l.Left), text.Duration(l.Need), expiry(l.Have, "expires"))
}

func expiry(d time.Duration, verb string) string {
	if d <= 0 {
		return fmt.Sprintf("expired %s ago", text.Duration(-d))
	}
	return fmt.Sprintf("%s in %s", verb, text.Duration(d))
}

func note(n upload.Note) string {
	switch e := n.(type) {
	case upload.Found:
		return found(e)
	case upload.Overdue:
		return fmt.Sprintf("by this machine's clock upload %s expired at %s: sending one part to see what the provider says", e.Upload, e.End.Format(time.RFC3339))
	case upload.PlanMade:
		return plan(e)
	case upload.Presigning:
		if e.Missing == 0 {
			return "requesting presigned URLs for " + numbers(e.Parts)
		}
		return fmt.Sprintf("requesting presigned URLs for %s (part %d's is missing or has expired)", numbers(e.Parts), e.Missing)
	case upload.ETagsKnown:
		if e.MD5 {
			return "verification: ETags are MD5s, so every part is checked"
		}
		return fmt.Sprintf("verification: of %s no ETag is the MD5: the ETags of this store cannot be used", count(e.Parts, "part"))
	case upload.Concurrency:
		return concurrency(e)
	case upload.ReadsAhead:
		return "the provider requires digests before the data: reading the file an additional time"
	case upload.NotReady:
		return "the file is uploaded, and not ready yet: asking again in " + text.Duration(e.Wait).String()
	case upload.Aborting:
		return fmt.Sprintf("aborting upload %s: orphaned parts are billed", e.Upload)
	case upload.Checkpointed:
		return fmt.Sprintf("checkpoint: the provider remembers %d more of the stored parts", e.Parts)
	case upload.Probed:
		switch {
		case e.Err != nil:
			return fmt.Sprintf("asked the provider whether the upload was completed: %v", e.Err)
		case e.Answer == upload.Completed:
			return "asked the provider whether the upload was completed: it was"
		case e.Answer == upload.NotCompleted:
			return "asked the provider whether the upload was completed: it was not"
		}
		return "asked the provider whether the upload was completed: the answer is unclear"
	}
	return fmt.Sprintf("%T", n)
}

// verifications say by what the parts of an upload are verified.
var verifications = map[string]string{
	upload.VerifiedCRC32C:    "the provider compares the CRC-32C of the whole file",
	upload.VerifiedMD5:       "the provider compares the MD5 of the whole file",
	upload.VerifiedSHA1:      "the provider compares the SHA-1 of the whole file",
	upload.VerifiedSHA256:    "the provider compares the SHA-256 of the whole file",
	upload.VerifiedCRC64NVME: "the provider compares the CRC-64/NVME of the whole file",
	upload.VerifiedHeader:    "the provider compared the digest that came with each part",
	upload.VerifiedETag:      "the ETag of every part is the MD5 of what was sent",
}

func finishing(e upload.Finishing) string {
	by := cmp.Or(verifications[e.Verification], "nothing: the provider offers nothing to compare")
	return fmt.Sprintf("complete: all parts are stored, sending %s; verification: %s", count(e.Receipts, "receipt"), by)
}

func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// reasons say why the number of parts at once changes.
var reasons = map[upload.Why]string{
	upload.WhyFaster:  "more parts at once are faster",
	upload.WhyEnough:  "fewer parts at once are as fast",
	upload.WhyTrial:   "to measure whether that is faster",
	upload.WhyBack:    "the last change was not faster",
	upload.WhySlower:  "the connection became far slower",
	upload.WhyRefused: "the store refused more (503 or 429)",
	upload.WhyBroken:  "connections broke",
}

func concurrency(e upload.Concurrency) string {
	s := fmt.Sprintf("concurrency: %s at once instead of %d: %s", count(e.Is, "part"), e.Was, reasons[e.Why])
	if e.Goodput > 0 {
		s += fmt.Sprintf(" (%s)", text.Rate(e.Goodput))
	}
	return s
}

func found(e upload.Found) string {
	s := ""
	switch {
	case e.Had == "" && !e.Moved:
		return "journal: no unfinished upload of this file: creating a new one"
	case e.Next == upload.StepCreate && e.Had == upload.Delivered:
		return fmt.Sprintf("journal: this file was uploaded at %s: creating a new upload", e.At.Format(time.RFC3339))
	case e.Next == upload.StepCreate && e.Had == upload.Corrupt:
		return fmt.Sprintf("journal: the checksum of upload %s did not match at the provider: creating a new upload", e.Upload)
	case e.Next == upload.StepCreate:
		return fmt.Sprintf("journal: upload %s is not resumed: creating a new upload", e.Upload)
	case e.Next == upload.StepWait:
		s = fmt.Sprintf("journal: upload %s is complete, and its file was not ready: waiting for it", e.Upload)
	case e.Next == upload.StepDeliver:
		s = fmt.Sprintf("journal: upload %s is done: only its result has to be delivered", e.Upload)
	case e.Next == upload.StepComplete:
		s = fmt.Sprintf("journal: complete may have been sent for upload %s, and got no answer: asking again", e.Upload)
	default:
		s = fmt.Sprintf("journal: resuming upload %s: %d of %d parts are stored", e.Upload, e.Stored, e.Parts)
	}
	if e.Moved {
		s += " (it was recorded under another path; every stored part is in this file)"
	}
	return s
}

func plan(e upload.PlanMade) string {
	s := fmt.Sprintf("plan: upload %s, %s", e.Upload, count(e.Parts, "part"))
	if e.Parts > 0 {
		s += " of " + text.IBytes(e.PartSize)
	}
	if s += ", made by the provider"; e.Client {
		s = strings.TrimSuffix(s, "provider") + "client"
	}
	if e.Existing > 0 {
		s += fmt.Sprintf("; the provider already has %s of the file", count(e.Existing, "range"))
	}
	switch {
	case e.NoRequest:
	case e.URLs == 0:
		s += "; presigned URLs are requested as they are needed"
	case e.Renewable:
		s += fmt.Sprintf("; %s came with it, and can be renewed", count(e.URLs, "presigned URL"))
	default:
		s += fmt.Sprintf("; %s came with it, and cannot be renewed", count(e.URLs, "presigned URL"))
	}
	if !e.Expires.IsZero() {
		s += "; the upload expires in " + text.Duration(time.Until(e.Expires)).String()
	}
	return s
}

// numbers names parts, the first few.
func numbers(parts []int) string {
	const most = 8
	words := make([]string, 0, most+1)
	for i, n := range parts {
		if i == most {
			words = append(words, fmt.Sprintf("and %d more", len(parts)-most))
			break
		}
		words = append(words, fmt.Sprint(n))
	}
	if len(parts) == 1 {
		return "part " + words[0]
	}
	return "parts " + strings.Join(words, ", ")
}

func are(parts int) string {
	if parts == 1 {
		return "1 part is"
	}
	return fmt.Sprintf("%d parts are", parts)
}

// op names a request that is retried.
func op(e upload.Retrying) string {
	switch e.Op {
	case upload.OpPart:
		return fmt.Sprintf("part %d", e.Part)
	case upload.OpConfirm:
		return fmt.Sprintf("confirmation of part %d", e.Part)
	case upload.OpPresign:
		return "presigned URLs"
	case upload.OpProbe:
		return "status"
	case upload.OpCreate, upload.OpCheckpoint, upload.OpComplete, upload.OpReady, upload.OpAbort:
	}
	return string(e.Op)
}
