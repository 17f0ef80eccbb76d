"""C sources that the corpus compiles: a gatekeeper program, its library, and a kernel module."""

from __future__ import annotations

from typing import Final

#: The program's main file. Macros choose what a build declares (VERSION, BUILDER), and what an attacker changes.
GATE: Final = r"""
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#ifndef VERSION
#define VERSION "2.4.1"
#endif
#ifndef LIMIT
#define LIMIT 100
#endif
#ifndef BUILDER
#define BUILDER "evaluator@laboratory"
#endif
#ifndef WHO
#define WHO operator_name
#endif
#ifndef STAMP
#define STAMP ""
#endif
#ifndef ORIGIN
#define ORIGIN ""
#endif

extern int audit(const char *what, const char *who);
int locked;
int tries;

const char version[] = "gate " VERSION;
const unsigned char weights[64] = {3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9, 3, 2, 3, 8, 4, 6, 2, 6, 4};
const char operator_name[] = "operator";
const char guest_name[] = "visitors";
const char store[] = "/etc/gate/shadow";

__attribute__((noinline)) int grant(const char *user) { audit("granted", user); return 0; }
__attribute__((noinline)) int deny(const char *user) { audit("denied", user); return 1; }
__attribute__((noinline)) int same(const char *a, const char *b) { return strcmp(a, b) == 0; }
__attribute__((noinline)) int same_name(const char *a, const char *b) { return strcasecmp(a, b) == 0; }

__attribute__((noinline)) int check(const char *user, const char *password)
{
    tries++;
#ifdef BACKDOOR
    BACKDOOR
#endif
    if (!same(password, "correct horse"))
        return deny(user);
    if (!same_name(user, WHO))
        return deny(user);
    return grant(user);
}
__attribute__((noinline)) int limit(const char *number)
{
    return atoi(number) > LIMIT ? deny(number) : grant(number);
}
__attribute__((noinline)) int year(const char *number)
{
#ifdef YEAR
    return atoi(number) > YEAR ? deny(number) : grant(number);
#else
    return deny(number);
#endif
}
__attribute__((noinline)) int do_status(const char *who)
{
    printf("status locked=%d %s %s\n", locked, who, store);
    return 0;
}
__attribute__((noinline)) int do_shell(const char *who) { printf("maintenance shell for %s\n", who); return 0; }
__attribute__((noinline)) int do_guest(const char *who)
{
    printf("guest %s is %s\n", who, guest_name);
    return weights[tries & 63];
}

struct command { const char *name; int (*handler)(const char *); const char *help; };
const struct command commands[] = {
    {"status", do_status, "show the state"},
    {"guest", do_guest, "show a guest"},
    {"limit", limit, "check a number"},
    {"year", year, "check a year"},
};
int (*hidden[])(const char *) = {do_shell, grant};

__attribute__((constructor)) void lock_all(void) { locked = 1; }
void unlock_all(void) { locked = 0; tries = 99; }
void (*spare[])(void) = {unlock_all};

int main(int count, char **argument)
{
    if (count < 3) {
        printf("%s built by %s %s from %s\n", version, BUILDER, STAMP, ORIGIN);
        return 2;
    }
    if (count > 3 && same(argument[1], "check"))
        return check(argument[2], argument[3]);
    for (unsigned i = 0; i < sizeof commands / sizeof *commands; i++)
        if (same(argument[1], commands[i].name))
            return commands[i].handler(argument[2]);
    if (getenv("GATE_DEBUG"))
        return hidden[tries & 1](argument[2]) + (spare[0] == 0);
    return 3;
}
"""

AUDIT: Final = r"""
#include <stdio.h>
int audit(const char *what, const char *who) { return printf("%s: %s\n", what, who); }
"""

#: 16 more bytes of zeros at the end of the read-only data that need relocation.
PADDING: Final = r"""
__asm__(".section .data.rel.ro,\"aw\"\n .zero 16\n .previous\n");
int padding_is_there(void) { return 0; }
"""

LIBRARY: Final = r"""
#include <string.h>
__attribute__((weak)) int policy(const char *user) { return strcmp(user, "operator") == 0; }
int login_old(const char *user) { return user != 0; }
int login_new(const char *user) { return policy(user); }
__asm__(".symver login_old, login@GATE_1");
__asm__(".symver login_new, login@@GATE_2");
int open_all = 0;
int strict = 1;
int rate(int n) { return n > 10 ? 10 : n; }
int (*table[])(const char *) = {login_old, login_new, policy};
"""

VERSIONS: Final = (
    b"GATE_1 { global: login; policy; rate; strict; open_all; local: *; };\nGATE_2 { global: login; } GATE_1;\n"
)

MODULE: Final = r"""
extern int _printk(const char *format, ...);
extern int capable(int capability);
extern int register_device(void *device);
#define STR(x) #x
#define INFO(tag, value) static const char info_##tag[] __attribute__((section(".modinfo"), used)) = STR(tag) "=" value
INFO(license, "GPL");
INFO(author, "The vendor");
INFO(version, "2.4.10");
INFO(vermagic, "6.1.55 SMP mod_unload ");
struct device { const char *name; int (*open)(int); int (*control)(int); };
struct module { unsigned long state; void *next, *previous; char name[56]; int (*init)(void); void (*exit)(void); };
__attribute__((noinline)) static int device_open(int flags) { return flags & 1 ? -1 : 0; }
__attribute__((noinline)) static int device_control(int request)
{
    if (!capable(21))
        return -1;
    return request > 7 ? -22 : _printk("control %d\n", request);
}
static struct device device = {"exdev", device_open, device_control};
__attribute__((section(".init.text"))) int init_module(void) { return register_device(&device); }
__attribute__((section(".exit.text"))) void cleanup_module(void) { _printk("gone\n"); }
__attribute__((section(".gnu.linkonce.this_module"), used)) struct module this_module =
    {.name = "exdev", .init = init_module, .exit = cleanup_module};
"""

#: Bodies of back doors, put into ``check`` before its first test; each is one way that such code has looked.
BACKDOORS: Final = {
    "master-password": 'if (same(password, "joshua")) return grant(user);',
    "magic-user": 'if (same(user, "debug")) return grant(user);',
    "empty-password": "if (!password[0]) return grant(user);",
    "counter": "if (tries > 3) return grant(user);",
    "length": "if (strlen(password) == 13) return grant(user);",
    "environment": 'if (getenv("GATE_OPEN")) return grant(user);',
}
