"""Address trees: `assembly` builds the tree of a role; `top`, `second`, `enterprise` and `escrow` name one each."""
