package cursor

import "context"

// Forget does now what the keeper does when the metadata has changed.
func (k *Keeper) Forget(ctx context.Context) error { return k.forget(ctx) }
