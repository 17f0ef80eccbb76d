"""Labelled pairs in which a text that became longer is the name of a file for an assertion that failed, in a function
that has its old length as a number: of something else, or of the text."""

from __future__ import annotations

from tests.equivalence.pairs import Sample, harmless, tampered
from tests.equivalence.pairs_moved_eased import honest
from tests.equivalence.pairs_moved_objects import left_behind

_ARCHES = ("x86_64", "aarch64", "arm")
_TEXT = '"gadget of " VERSION'  # of 15 characters
_FAIL = "void __assert_fail(const char *, const char *, unsigned, const char *) __attribute__((noreturn));\n"
_ASSERT = f'if (n > 99) __assert_fail("n > 99", {_TEXT}, 77, "main");'
_SHOWN = """
__attribute__((noipa)) int ask(int k) { return k * 3; }
int main(int c, char **v) {
  int n = ask(15);
  puts("a text in front"); ask(ask(ask(n) ^ c) - c); ask(ask(ask(n) * c) + c); ask(ask(ask(n) ^ 99) - n); puts(v[0]);
  BODY
  return ask(n + c) == 15;
}
"""
for _arch in _ARCHES:

    @harmless(f"moved-file-{_arch}")
    def _(arch: str = _arch) -> Sample:
        """The number is of something else."""
        return honest(arch, _FAIL + _SHOWN.replace("BODY", _ASSERT))


#: What else is done with the text, and its length.
_OTHERWISE = {
    "written": f"if (n > 99) fwrite({_TEXT}, 1, sizeof {_TEXT} - 1, stdout); {_ASSERT}",
    "copied": f"""char *b = malloc(sizeof {_TEXT}); const char *p = {_TEXT}; __asm__("" : "+r"(p)); strcpy(b, p);
        puts(b); {_ASSERT}""",
    "kept": f"""static const char *p = {_TEXT}; __asm__("" : : "r"(&p)); fwrite(p, 1, sizeof {_TEXT} - 1, stdout);
        {_ASSERT}""",
    "first": f"""if (n > 99) __assert_fail({_TEXT}, "file", sizeof {_TEXT} - 1, "main");""",
    "line": f"""if (n > 99) __assert_fail("n", {_TEXT}, sizeof {_TEXT} - 1, "main");""",
    "shown": f"puts({_TEXT}); fwrite(v[0], 1, sizeof {_TEXT} - 1, stdout); {_ASSERT}",
}
for _arch in _ARCHES:
    for _name, _body in _OTHERWISE.items():

        @tampered(f"moved-file-{_name}-{_arch}")
        def _(arch: str = _arch, body: str = _body) -> Sample:
            """The number is the text's length, and was left behind."""
            return left_behind(arch, "#include <stdlib.h>\n" + _FAIL + _SHOWN.replace("BODY", body).replace("15", "21"))
