"""How answers look: the JSON envelope and the one table that turns errors into HTTP answers.

Reading order: `envelope` (shape and statuses), `answers` (error → answer). Forms, lists and base templates made from declared
tables will join here; it knows no account and no chapter.
"""
