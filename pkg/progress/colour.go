package progress

import "strings"

// Colours of what is done, of warnings and of what failed, as codes of SGR.
const (
	Green  = "32"
	Yellow = "33"
	Red    = "31"
)

// Paint gives s a colour; on says whether there are any.
func Paint(on bool, colour, s string) string {
	if !on || s == "" {
		return s
	}
	return "\x1b[" + colour + "m" + s + "\x1b[0m"
}

// paintLine colours a line up to its first colon: what kind of line it is, or
// which file is done.
func paintLine(on bool, colour, line string) string {
	head, rest, cut := strings.Cut(line, ": ")
	if !cut {
		return line
	}
	return Paint(on, colour, head+":") + " " + rest
}
