"""Prints what Ansible reads from inventories: JSON on stdin names them, JSON on stdout is the answer."""
import json
import sys

from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.vars.manager import VariableManager

MAGIC = {
    "ansible_facts", "playbook_dir", "ansible_playbook_python", "inventory_hostname", "inventory_hostname_short", "groups", "group_names",
    "omit", "ansible_version", "ansible_diff_mode", "ansible_config_file", "ansible_python_interpreter", "ansible_check_mode",
    "ansible_inventory_sources", "ansible_run_tags", "ansible_skip_tags", "ansible_forks", "ansible_verbosity", "inventory_dir", "inventory_file",
    "ansible_limit", "hostvars", "ansible_local",
}

answers = []
for question in json.load(sys.stdin):
    loader = DataLoader()
    playbook = question.get("playbook")
    if playbook:
        loader.set_basedir(playbook)
    inventory = InventoryManager(loader=loader, sources=question["sources"])
    variables = VariableManager(loader=loader, inventory=inventory)
    variables.safe_basedir = bool(playbook)
    hosts = {}
    for host in inventory.hosts.values():
        seen = variables.get_vars(host=host, include_hostvars=False, stage="all")
        hosts[host.name] = {
            "vars": {key: value for key, value in seen.items() if key not in MAGIC},
            "group_names": host.get_magic_vars()["group_names"],
            "file": host.vars.get("inventory_file"),
        }
    patterns = {}
    for pattern in question["patterns"]:
        try:
            patterns[pattern] = [host.name for host in inventory.get_hosts(pattern)]
        except Exception as error:
            patterns[pattern] = str(error)
    answers.append({"groups": inventory.get_groups_dict(), "hosts": hosts, "patterns": patterns})
json.dump(answers, sys.stdout, default=str)
