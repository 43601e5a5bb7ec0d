"""Ask name servers: reads {servers: [address], questions: ["name type"]} as JSON, prints {address: {question: answer}}.

An answer is {rcode, data: [sorted presentation forms], signed: bool}; rcode NOTIFY asks as a forged, unsigned NOTIFY.
"""

import json
import sys

import dns.flags
import dns.message
import dns.opcode
import dns.query
import dns.rcode
import dns.rdatatype


def ask(server, question):
    """Answer one question."""
    name, kind = question.split()
    notify = kind == "NOTIFY"
    query = dns.message.make_query(name, "SOA" if notify else kind, want_dnssec=not notify)
    query.flags = 0
    if notify:
        query.set_opcode(dns.opcode.NOTIFY)
    answer = dns.query.udp_with_fallback(query, server, timeout=3)[0]
    found = answer.answer or [rrset for rrset in answer.authority if rrset.rdtype == dns.rdatatype.NS]
    data = sorted(rr.to_text() for rrset in found if rrset.rdtype != dns.rdatatype.RRSIG for rr in rrset)
    signed = any(rrset.rdtype == dns.rdatatype.RRSIG for rrset in answer.answer)
    return {"rcode": dns.rcode.to_text(answer.rcode()), "data": data, "signed": signed}


wanted = json.load(sys.stdin)
json.dump(
    {server: {each: ask(server, each) for each in wanted["questions"]} for server in wanted["servers"]}, sys.stdout
)
