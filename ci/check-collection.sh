#!/bin/sh
# Builds the collection, installs the tarball into an empty place, and checks that every role came along, that every
# playbook is understood with it, for each inventory, and that each role documents every variable of its defaults.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
sub=ansible_collections/hostreeve/hosting
[ ! -d "$root/.venv/bin" ] || PATH=$root/.venv/bin:$PATH
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

# The builder drops links that lead out of the collection, with no more than a warning: the link must lead inward.
[ "$(readlink "$root/roles")" = "collections/$sub/roles" ]
(cd "$root/collections/$sub" && ansible-galaxy collection build --output-path "$tmp" >/dev/null)

# An empty configuration, and so no other copy of the collection.
: >"$tmp/ansible.cfg"
export ANSIBLE_CONFIG="$tmp/ansible.cfg" ANSIBLE_COLLECTIONS_PATH="$tmp/inst" ANSIBLE_HOME="$tmp/home"
ansible-galaxy collection install "$tmp"/*.tar.gz -p "$tmp/inst" --offline --no-deps >/dev/null
ls "$root/collections/$sub/roles" >"$tmp/want"
ls "$tmp/inst/$sub/roles" >"$tmp/have"
diff -u "$tmp/want" "$tmp/have"

cd "$tmp"
for inventory in demo example; do
    ansible-inventory -i "$root/inventory/$inventory" --list >/dev/null
    for book in "$root"/playbooks/*.yml; do
        ansible-playbook --syntax-check -i "$root/inventory/$inventory" "$book" >/dev/null
    done
done

while read -r role; do
    ansible-doc -t role "hostreeve.hosting.$role" --json >"$tmp/$role.json"
    python - "$tmp/inst/$sub/roles/$role" "$tmp/$role.json" <<'PYTHON'
import json
import pathlib
import sys

import yaml

role, doc = pathlib.Path(sys.argv[1]), json.loads(pathlib.Path(sys.argv[2]).read_text())
(entry,) = doc.values()
options = entry["entry_points"]["main"]["options"]
defaults = yaml.safe_load((role / "defaults/main.yml").read_text()) or {}
missing = sorted(set(defaults) - set(options))
differ = sorted(
    name
    for name, option in options.items()
    if "default" in option and name in defaults and "{{" not in str(defaults[name]) and option["default"] != defaults[name]
)
if missing or differ:
    sys.exit(f"{role.name}: not documented: {missing}; documented with another default: {differ}")
PYTHON
done <"$tmp/want"
echo "The collection holds $(wc -l <"$tmp/want") roles; $(find "$root/playbooks" -name '*.yml' | wc -l) playbooks are understood with it."
