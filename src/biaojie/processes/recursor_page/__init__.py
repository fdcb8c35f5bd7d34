"""The page of a recursive node: `page.html` and its parts, `page.css`, `page.js`, and `rendering`, which fills them in.

Plain files and plain string templates: the recursor runs without Django. Everything that came from outside is escaped; the
page works without its script, which only recognises the code system while one types and copies values.
"""
