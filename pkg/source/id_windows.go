package source

import (
	"fmt"
	"os"

	"golang.org/x/sys/windows"
)

// place is what tells an open file from others, wherever it is; empty: nothing
// does.
func place(f *os.File) string {
	var i windows.ByHandleFileInformation
	if windows.GetFileInformationByHandle(windows.Handle(f.Fd()), &i) != nil {
		return ""
	}
	return fmt.Sprintf("%x:%x%08x", i.VolumeSerialNumber, i.FileIndexHigh, i.FileIndexLow)
}
