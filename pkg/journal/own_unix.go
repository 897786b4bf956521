//go:build !windows

package journal

import "errors"

// removeLocked removes the file while its lock is held, and gives the lock back.
func (e *entry) removeLocked() error {
	err := e.j.remove(e.file())
	return errors.Join(err, e.d.close())
}

// replaceBy puts the file of another upload in this one's place. Both are
// locked; the lock of the other is this one's from then on.
func (e *entry) replaceBy(from *file, id string) (*file, error) {
	if err := e.j.rename(e.j.path(id, extDB), e.file()); err != nil {
		return nil, errors.Join(err, from.close())
	}
	if e.d != nil {
		_ = e.d.close() // nothing leads to it any more
	}
	return from, nil
}
