package journal

import (
	"testing"

	"golang.org/x/sys/unix"
)

func TestNetworks(t *testing.T) {
	// As statfs(2) has them.
	for magic, want := range map[uint32]string{
		0x6969: "nfs", 0x517b: "smb", 0xff534d42: "cifs", 0xfe534d42: "smb2", 0x5346414f: "afs", 0x6b414653: "afs",
		0x01021997: "9p", 0x00c36400: "ceph", 0x73757245: "coda",
		unix.EXT4_SUPER_MAGIC: "", unix.TMPFS_MAGIC: "", unix.BTRFS_SUPER_MAGIC: "", unix.XFS_SUPER_MAGIC: "", unix.OVERLAYFS_SUPER_MAGIC: "", unix.FUSE_SUPER_MAGIC: "",
	} {
		if got := networks[magic]; got != want {
			t.Errorf("%#x is %q, want %q", magic, got, want)
		}
	}
	// What the system says of a directory is what is looked up.
	for path, want := range map[string]uint32{"/proc": unix.PROC_SUPER_MAGIC, "/dev/shm": unix.TMPFS_MAGIC} {
		var s unix.Statfs_t
		if err := unix.Statfs(path, &s); err != nil || uint32(s.Type) != want {
			t.Logf("%s is no such file system here: %#x, %v", path, s.Type, err)
			continue
		}
		networks[want] = "seen"
		if got := Remote(path + "/journal"); got != "seen" {
			t.Errorf("%s is %q", path, got)
		}
		delete(networks, want)
	}
}
