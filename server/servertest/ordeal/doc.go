// Package ordeal puts the real program through what can happen to it: kill -9 under load (`make chaos`), a burst of plain
// messages (`make burst`), publishers that are faster than the disk (`make overload`), thousands of partitions
// (`make idle`). It has tests only. Servers, NATS and publishers are processes of their own, on ports of loopback and in
// folders of the test, and end with it.
package ordeal
