// Package journal remembers uploads across crashes: their plans, the receipts
// of their parts, how far they came and what came of them. It is the store
// behind [upload.Journal]: a directory that any number of processes share.
//
//	ID.db           an unfinished upload: a bbolt file, open in the process that has the upload
//	ID.json         its head: what list and show need, and who has it
//	history.ndjson  what was delivered, a line each: 30 days and 100,000 lines
//
// It promises that what a method returned nil for survives a SIGKILL and a
// power cut; that every value read back is the one that was stored, by its
// checksum; that two processes never have one upload; that the cost of an upload
// does not depend on how many others there are; and that a damaged file is moved
// aside, never overwritten, and concerns no other upload.
//
// It decides nothing about an upload, knows no provider and no network, and
// touches no file that does not have one of the names above.
//
// # Use
//
// Dir is the only field that is required, and the directory need not exist. The
// journal holds no file open by itself: each entry of [Journal.Open] does, until it
// is closed.
//
//	u := upload.Uploader{Journal: &journal.Journal{Dir: "/var/lib/mine/journal"}}
//
// [Journal.List] reads heads and history, also of uploads that other processes have.
//
// # Locks
//
// bbolt locks the file that it has open, and that is the lock of the upload. The
// kernel drops it with the process. There is no other lock, so a process that is
// stopped keeps others from its own upload only, and they are told its number.
//
// # What is durable
//
// Begin syncs the new file and its directory entry; each later change is a bbolt
// transaction, which is synced before it returns. Heads and history are not
// synced. A head is derived from its db and written in place, with a checksum:
// where it is missing, torn or older than the db, the db is read instead, and the
// next process that has the upload writes it again. To deliver is to append
// a line to the history and then to remove head and db. After a power cut the db
// may be back: then the upload is Done, and its result is handed over again; or
// the line may be missing, and nothing else.
//
// # Who can read it
//
// Files are created for their owner alone (0600), and so are directories
// (0700), whatever the umask is. A journal directory that others may read is
// closed to them, if it is this user's and holds nothing but a journal. Windows
// has no such modes: there a new directory gets an access list that admits the
// user, the system and the administrators, and inherits nothing.
//
// It holds no key. Presigned URLs are kept only where the provider cannot issue
// them again. bbolt does not wipe the pages it frees, so that they may stay
// readable in the file of an upload until that is removed.
//
// # Caveats
//
// On a network file system the server decides whether locks and syncs hold;
// [Remote] names the kind. A path is recorded as it was named: the same file by
// another path is found only by its name and size.
package journal
