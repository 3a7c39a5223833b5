package main

import "fmt"

// A contender is a program that is measured.
type contender struct {
	name      string
	path      string // "": the floor
	traced    bool   // every request, and every span is exported
	processes int    // of it, which share the work; 0: one
	tenants   int    // that are declared; 0: none
}

func (c contender) workers() int { return max(1, c.processes) }

// contenders are the floor and the builds of the service that are compared.
func (b *bench) contenders() []contender {
	if b.options.noFloor {
		return b.builds()
	}
	return append([]contender{{name: floorName}}, b.builds()...)
}

// builds are the builds of the service alone.
func (b *bench) builds() []contender {
	all := []contender{{name: serviceName, path: b.options.worker}}
	if b.options.workerB != "" {
		all = append(all, contender{name: serviceName + " B", path: b.options.workerB})
	}
	return all
}

// traced adds to each build of the service the same with every span exported.
func (b *bench) traced(all []contender) []contender {
	if b.options.noTraced {
		return all
	}
	for _, c := range all {
		if c.path != "" {
			c.name, c.traced = c.name+tracedSuffix, true
			all = append(all, c)
		}
	}
	return all
}

// hosts are the builds of the service with so many tenants declared, or as many as the
// command line says.
func (b *bench) hosts(usual ...int) (all []contender) {
	if len(b.options.tenants) > 0 {
		usual = b.options.tenants
	}
	for _, c := range b.builds() {
		for _, n := range usual {
			all = append(all, contender{name: c.name + tenantsSuffix(n), path: c.path, tenants: n})
		}
	}
	return all
}

// crowds are one, two and four processes of each build.
func (b *bench) crowds() (all []contender) {
	for _, c := range b.builds() {
		for _, n := range []int{1, 2, 4} {
			all = append(all, contender{name: fmt.Sprintf("%s ×%d", c.name, n), path: c.path, processes: n})
		}
	}
	return all
}
