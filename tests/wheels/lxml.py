"""Parses in four threads, with a target and an XPath function in Python; then uses a resolver."""

from concurrent.futures import ThreadPoolExecutor

from lxml import etree


class Counter:
    def __init__(self):
        self.names = []

    def start(self, name, attributes):
        self.names.append(name)

    def close(self):
        return len(self.names), sorted(set(self.names))


class Resolver(etree.Resolver):
    def resolve(self, url, public, context):
        return self.resolve_string("<!ENTITY word 'resolved'>", context)


def work(n):
    text = "<root>" + "".join(f"<each n='{i}'><b/></each>" for i in range(200 + n)) + "</root>"
    counted = etree.fromstring(text, etree.XMLParser(target=Counter()))
    functions = {(None, "odd"): lambda context, found: int(found[0]) % 2 == 1}
    odd = etree.fromstring(text).xpath("//each[odd(@n)]", extensions=functions)
    sheet = "<x:stylesheet version='1.0' xmlns:x='http://www.w3.org/1999/XSL/Transform'/>"
    changed = etree.XSLT(etree.fromstring(sheet))(etree.fromstring("<a>text</a>"))
    return counted, len(odd), str(changed).splitlines()[-1]


with ThreadPoolExecutor(4) as pool:
    print(*pool.map(work, range(8)), sep="\n")
# Not in a thread: lxml 6.1 sets the one loader that libxml2 has, and resets it, without the GIL.
parser = etree.XMLParser(load_dtd=True, resolve_entities=True)
parser.resolvers.add(Resolver())
entity = etree.fromstring("<!DOCTYPE a SYSTEM 'x:y'><a>&word;</a>", parser)
print(entity.text)
