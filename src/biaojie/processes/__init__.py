"""The processes of a node, each a composition root: settings in, rooms put together, signals handled.

`resolver` answers from the node's own publication (no Django), `recursor` asks others (no Django; its sockets are
`recursor_faces`, its page `recursor_page`), `web` and `worker` are
Django's, `supervisor` starts and watches a whole chain (with `chain`, `children`, `control`, `lifeline`, `ports`).
Nothing here decides anything a room below could decide.
"""
