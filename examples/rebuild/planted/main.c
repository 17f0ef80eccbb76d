/* A program with planted causes of nondeterminism; each is switched on by a macro. */
#include <stdio.h>

#include "generated.h"

#ifndef WHEN
#define WHEN "never"
#endif
#ifndef WHERE
#define WHERE "nowhere"
#endif

int main(void)
{
    printf("%s %s %s\n", WHEN, WHERE, GENERATED);
    return 0;
}
