// Package upload is the engine: it takes a local file to a provider in parts, and
// ends with a result that the provider confirmed.
//
// It promises that a receipt is on disk before anything else knows of it; that a
// part with a receipt is not sent again; that the parts tile the file exactly before
// a byte is sent; and that no object is completed from two versions of a file. It
// knows no provider, no store, no screen and no program: those are behind
// [Provider], [Journal] and [Uploader.Observe].
//
// # Mechanism
//
// [Uploader.Upload] is three phases in a row, which can also be called one by one:
//
//   - Plan opens the file, takes the upload's lock in the journal, and either finds
//     the upload that an earlier run left there or calls Provider.Create. What
//     create returned is checked: ranges and parts have to tile the file.
//   - Send stores each part that has no receipt. It asks for presigned URLs just in
//     time, hashes each part while it is sent, and compares the digest with what
//     the store says. Each receipt is durable before progress counts it and before
//     its slot takes another part.
//   - Finish records "completing", calls Provider.Complete, records the result, hands
//     it to Uploader.Deliver, and records "delivered".
//
// One goroutine owns an upload. It decides what is sent next, what is retried and
// when, which part is a straggler, and whether the rest can end in time. Workers
// make one attempt each and share nothing. [Batch] uploads several files, which
// share one budget of parts in flight ([Slots]).
//
// Resuming is calling Upload again with the same file and target. What is stored is
// not sent again. If the file changed meanwhile, the stored parts are read and
// compared, and those that differ are sent again, where the provider lets a stored
// part be replaced; otherwise a new upload begins.
//
// # Configuration
//
// Uploader, Batch and transport.Policy are struct literals; only Uploader.Provider
// is required. What is left out means:
//
//   - Journal: one in memory ([Memory]), for one call. With a journal on disk (package
//     journal) the upload survives the process.
//   - Concurrency: as many parts in flight as fill the link, at most [MaxConcurrency].
//   - PartSize: what suits the file and the provider.
//   - Retry: temporary errors are retried for 15 minutes. A negative Retries means
//     no retries.
//   - Checksum: verify if the store's answers allow it; Report.Verification says
//     how.
//   - Observe: events are dropped. Deliver: the result counts as delivered when Finish
//     returns.
//
// [Target] tells uploads apart, together with the path of the file: provider, base
// URL, name, type and options. Never put a secret into it: it is recorded.
//
// # Errors
//
// Every error wraps one of the sentinels of this package, or the cause of the
// context. Test with errors.Is. [ErrUnfinished] means that running again continues;
// [ErrDoubt] means that complete was sent and got no clear answer, so look at the
// provider before you send the file again; [ErrUndelivered] means that the file is
// uploaded and only its result was not handed over. After any other error a retry
// without a change ends the same way. The Report is valid with an error too.
//
// # Caveats
//
// A file that changes while it is sent ends with [ErrChanged]. A change that leaves
// size and modification time as they were is noticed only where the system tells
// when a file was last touched (Linux and macOS).
//
// When the context is cancelled, parts in flight have two seconds to be answered,
// so that they count. Upload returns then, and nothing is aborted at the provider.
//
// Providers bill for parts of uploads that are neither completed nor aborted. An
// upload that is not continued has to be aborted with [Uploader.Abort].
//
// A stream ([Uploader.UploadStream]) that comes from a pipe can be read only once:
// only parts that wait in its spool are retried, and a later call does not continue
// it.
package upload
