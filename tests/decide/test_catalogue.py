"""The function catalogue is whole, and a wrong row of it is refused."""

from __future__ import annotations

import pytest

from banbury.decide.network.catalogue import PLANES, functions, parse

#: NFType of 3GPP TS 29.510 V18.5.0: names of network functions that an NRF knows.
NF_TYPES = """
NRF UDM AMF SMF AUSF NEF PCF SMSF NSSF UDR LMF GMLC 5G_EIR SEPP UPF N3IWF AF UDSF BSF CHF NWDAF PCSCF CBCF
HSS UCMF SOR_AF SPAF MME SCSAS SCEF SCP NSSAAF ICSCF SCSCF DRA IMS_AS AANF 5G_DDNMF NSACF MFAF EASDF DCCF MB_SMF TSCTSF
ADRF GBA_BSF CEF MB_UPF NSWOF PKMF MNPF SMS_GMSC SMS_IWMSC MBSF MBSTF PANF DCSF MRF MRFP MF SLPKMF"""
#: Functions that the advice of January 2020 names.
NAMED = """
AUSF AMF UDSF NEF I_NEF NRF NSSF PCF SMF UDM UDR UPF UCMF AF 5G_EIR NWDAF CHF SCP SEPP N3IWF TNGF W_AGF HSS PGW
PCRF"""
HEAD = '[defaults]\nunverified = []\n[sources]\ns = "S"\n[functions]\n'


def test_every_type_that_a_repository_function_knows_is_there() -> None:
    assert len(NF_TYPES.split()) == 61
    assert set(NF_TYPES.split()) <= set(functions())
    assert len(functions()) >= 61 + 35


def test_every_row_is_classed_and_sourced() -> None:
    for function in functions().values():
        assert function.title
        assert function.class_gb
        assert function.class_eu
        assert function.source
        assert any(function.planes.values()), function.id
        assert set(function.planes) == set(PLANES)
        assert {"class_eu", "planes"} <= set(function.unverified)


def test_what_the_advice_names_is_core_and_the_radio_network_is_not() -> None:
    catalogue = functions()
    assert {catalogue[name].class_gb for name in NAMED.split()} == {"core"}
    assert {catalogue[name].class_gb for name in ("MME", "SGW")} == {"core-in-some-cases"}
    assert {catalogue[name].class_gb for name in ("GNB", "ENB", "OLT", "GNB_DU", "RU")} == {"access"}
    assert catalogue["GNB_DU"].planes["U"] == 0
    assert catalogue["NFVI"].inherits
    assert catalogue["CELL_SITE_ROUTER"].clear_unless == "ipsec"


@pytest.mark.parametrize(
    "row",
    [
        'X = { title = "x", layer = "cellar", gb = "core", eu = "high", planes = "S1", source = ["s"] }',
        'X = { title = "x", layer = "core", gb = "high", eu = "high", planes = "S1", source = ["s"] }',
        'X = { title = "x", layer = "core", gb = "core", eu = "high", planes = "S4", source = ["s"] }',
        'X = { title = "x", layer = "core", gb = "core", eu = "high", planes = "S1 S1", source = ["s"] }',
        'X = { title = "x", layer = "core", gb = "core", eu = "high", planes = "S1", source = [] }',
        'X = { title = "x", layer = "core", gb = "core", eu = "high", planes = "S1", source = ["t"] }',
    ],
)
def test_a_wrong_row_is_refused(row: str) -> None:
    with pytest.raises(ValueError, match="function X"):
        parse(HEAD + row)
