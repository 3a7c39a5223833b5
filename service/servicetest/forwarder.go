package servicetest

import (
	"context"
	"net"
	"sync"
	"testing"
)

// Forwarder is a TCP forwarder before a server, for faults of the network between
// a client and a server that both live.
type Forwarder struct {
	Address string // host and port, to connect to

	target   string
	listener net.Listener
	ends     sync.WaitGroup

	mu     sync.Mutex
	thawed chan struct{} // closed unless it is frozen
	cut    bool
	closed bool
	conns  map[net.Conn]struct{}
}

// RunForwarder starts a forwarder to a host and port. It ends with the test.
func RunForwarder(tb testing.TB, target string) *Forwarder {
	tb.Helper()
	l, err := (&net.ListenConfig{}).Listen(tb.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	f := &Forwarder{Address: l.Addr().String(), target: target, listener: l, thawed: make(chan struct{}), conns: map[net.Conn]struct{}{}}
	close(f.thawed)
	f.ends.Go(f.accept)
	tb.Cleanup(f.close)
	return f
}

// Cut ends every connection and every new one at once, until Heal.
func (f *Forwarder) Cut() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cut = true
	f.endAll()
}

// Freeze holds everything back that is sent through it, in both directions, as a
// network does that loses packets: nobody is told. Heal delivers it.
func (f *Forwarder) Freeze() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.isThawed() {
		f.thawed = make(chan struct{})
	}
}

// Heal ends Cut and Freeze.
func (f *Forwarder) Heal() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cut = false
	f.thaw()
}

func (f *Forwarder) isThawed() bool {
	select {
	case <-f.thawed:
		return true
	default:
		return false
	}
}

func (f *Forwarder) thaw() {
	if !f.isThawed() {
		close(f.thawed)
	}
}

func (f *Forwarder) endAll() {
	for c := range f.conns {
		_ = c.Close()
	}
}

func (f *Forwarder) close() {
	_ = f.listener.Close()
	f.mu.Lock()
	f.closed = true
	f.thaw()
	f.endAll()
	f.mu.Unlock()
	f.ends.Wait()
}

func (f *Forwarder) accept() {
	for {
		c, err := f.listener.Accept()
		if err != nil {
			return
		}
		f.ends.Go(func() { f.forward(c) })
	}
}

// forward joins a connection with one to the target until either ends.
func (f *Forwarder) forward(client net.Conn) {
	defer client.Close() //nolint:errcheck // it may be closed already
	server, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", f.target)
	if err != nil {
		return // the server is away
	}
	defer server.Close() //nolint:errcheck // it may be closed already
	if !f.enter(client, server) {
		return
	}
	defer f.leave(client, server)
	var both sync.WaitGroup
	both.Go(func() { f.copy(server, client) })
	f.copy(client, server)
	both.Wait()
}

func (f *Forwarder) enter(conns ...net.Conn) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.cut || f.closed {
		return false
	}
	for _, c := range conns {
		f.conns[c] = struct{}{}
	}
	return true
}

func (f *Forwarder) leave(conns ...net.Conn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range conns {
		delete(f.conns, c)
	}
}

// copy carries one direction; its end ends the other.
func (f *Forwarder) copy(to, from net.Conn) {
	defer to.Close()   //nolint:errcheck // it may be closed already
	defer from.Close() //nolint:errcheck // the same
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		f.mu.Lock()
		thawed := f.thawed
		f.mu.Unlock()
		<-thawed
		if n > 0 {
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
