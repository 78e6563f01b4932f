package client

// KindOfReason is for tests to compare with the server's table.
var KindOfReason = kindOfReason
