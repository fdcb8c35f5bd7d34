"""The six code systems of the trade: Handle, OID, DID:BID, VAA, Ecode and GS1.

Reading order: `systems` (the six, their stable numbers and spellings), `errors` (CODE-1xx), `plain_text` (what any
text must satisfy), then one module per system, each with a frozen value class and a `read_*` function:
`handle_names`, `oid`, `bid`, `vaa`, `ecode`, `gs1`. `identifier` is what they all become; `parsing` recognises and
parses any text; `ranges` is 标识前缀或范围 of 附件1 表2 and 表7: coverages, their byte intervals and the best match.

It knows spelling only: who answers for a prefix, records and addresses belong to `tables` and `resolution`.
"""
