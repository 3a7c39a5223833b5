//go:build integration

package integration

import "syscall"

// endWithParent lets a child die with this process, however that ends.
func endWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
