package journal

import (
	"path/filepath"
	"strings"

	"golang.org/x/sys/windows"
)

func remote(path string) string {
	volume := strings.ReplaceAll(filepath.VolumeName(path), "/", `\`)
	switch {
	case strings.HasPrefix(strings.ToUpper(volume)+`\`, `\\?\UNC\`):
		return "a network share"
	case strings.HasPrefix(volume, `\\?\`), strings.HasPrefix(volume, `\\.\`):
		volume = volume[len(`\\?\`):]
	case strings.HasPrefix(volume, `\\`):
		return "a network share"
	}
	root, err := windows.UTF16PtrFromString(volume + `\`)
	if err == nil && windows.GetDriveType(root) == windows.DRIVE_REMOTE {
		return "a network share"
	}
	return ""
}
