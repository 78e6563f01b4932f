package vfs

// ReadCount is how much was read: calls of ReadAt, and the bytes that they returned.
type ReadCount struct {
	Calls int64
	Bytes int64
}

func (c *ReadCount) add(bytes int) {
	c.Calls++
	c.Bytes += int64(bytes)
}

// reads counts what is read. The mutex of the Mem guards it.
type reads struct {
	total  ReadCount
	byName map[string]*ReadCount // by clean name, for each file that was opened
}

func (r *reads) of(name string) *ReadCount {
	name = cleanName(name)
	if r.byName[name] == nil {
		r.byName[name] = &ReadCount{}
	}
	return r.byName[name]
}

// Reads is what was read from files opened by that name since the last ResetReads.
func (m *Mem) Reads(name string) ReadCount {
	m.mu.Lock()
	defer m.mu.Unlock()
	if count := m.reads.byName[cleanName(name)]; count != nil {
		return *count
	}
	return ReadCount{}
}

// TotalReads is what was read from all files since the last ResetReads.
func (m *Mem) TotalReads() ReadCount {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.reads.total
}

// ResetReads makes all counts zero.
func (m *Mem) ResetReads() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.reads.total = ReadCount{}
	for _, count := range m.reads.byName {
		*count = ReadCount{}
	}
}
