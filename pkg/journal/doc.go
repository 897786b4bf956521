// Package journal remembers uploads across crashes: their plans, the receipts
// of their parts, how far they came and what they came to. It is the store
// behind [upload.Journal], one bbolt file that any number of processes share.
//
// It promises that what a method returned nil for survives a SIGKILL and a
// power cut; that no record is seen half written; that every value read back
// is the one that was stored, by its checksum; that one upload is never in two
// hands; and that a damaged journal is moved aside, never overwritten, and
// never crashes the program.
//
// It refuses to keep a secret or an opinion: it stores the structs of package
// upload and nothing else, decides nothing about an upload, knows no provider
// and no network, and touches no file that is not its own.
//
// # Where and who
//
// Beside the journal PATH there are PATH.lock, held for a moment by whoever
// reads or writes, and the directory PATH.locks with one file per upload, held
// for as long as a process works on it. The kernel drops both kinds of lock
// with the process. Prune removes the files of uploads that are not recorded any
// more, where that is sound; all of them hold nothing that matters and may be
// removed by hand when no upload is running.
//
// Files are created for their owner alone (0600), and so are directories
// (0700), whatever the umask is and whatever the directory they are in. Windows
// has no such modes: there the journal and the directories that are made for it
// get an access list that admits the user, the system and the administrators,
// and inherits nothing. A journal found open to others is closed to them (but
// not on Windows); a directory that was there before is left as it is.
//
// bbolt does not wipe the pages it frees: a presigned URL that was forgotten may stay
// readable in the file until its page is used again.
package journal
