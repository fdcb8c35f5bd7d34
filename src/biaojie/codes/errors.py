"""What can be wrong with an identifier, a prefix or a range: the CODE-1xx tree.

CodeError
├── UnknownSystem 101 · UnrecognisedIdentifier 102 · EmptyText 103 · TextTooLong 104 · ForbiddenCharacter 105
├── HandleError    110: MissingPrefix 111 · MissingSuffix 112 · MissingSlash 113 · BadPrefixArc 114 · BadHandleUrl 115
├── OidError       120: BadArc 121 · TooFewArcs 122 · BadFirstArc 123 · BadSecondArc 124
├── BidError       130: NotABid 131 · BadAcsn 132 · BadEncryptionType 133 · BadEncoding 134
│                       BadBidSuffixLength 135 · BadBidSuffixCharacter 136
├── VaaError       140: NotAVaa 141 · BadVaaDigits 142 · BadSerialLength 143 · BadSerialCharacter 144 · NotExpressibleAsVaa 145
├── EcodeError     150: BadVersion 151 · BadNsi 152 · BadMdLength 153 · BadMdCharacter 154 · BadEcodeUrl 155
├── Gs1Error       160: BadCheckDigit 161 · BadGs1Shape 162 · BadElement 163 · NoPrimaryKey 164
│                       BadDigitalLink 165 · RepeatedElement 166
└── CoverageError  170: EmptyCoverage 171 · BadCoverage 172 · UnequalEnds 173 · ReversedRange 174
                        UnrelatedEnds 175 · CoverageTooLong 176

Docstrings are the default messages; `data` carries what a machine wants to know.
"""

from __future__ import annotations

from biaojie.base.errors import BiaojieError


class CodeError(BiaojieError):
    """标识编码不正确"""

    code = "CODE-100"


class UnknownSystem(CodeError):
    """没有名为“{text}”的标识编码类型，应为 Handle、OID、DID:BID、VAA、Ecode、GS1 之一"""

    code = "CODE-101"


class UnrecognisedIdentifier(CodeError):
    """无法识别“{text}”属于哪一种标识编码，请注明标识编码类型或补全写法"""

    code = "CODE-102"


class EmptyText(CodeError):
    """标识为空"""

    code = "CODE-103"


class TextTooLong(CodeError):
    """标识长 {length} 字节，超过上限 {limit} 字节"""

    code = "CODE-104"


class ForbiddenCharacter(CodeError):
    """标识第 {position} 个字符（{character}）是控制字符或不能用 UTF-8 表示的字符"""

    code = "CODE-105"


class HandleError(CodeError):
    """Handle 标识不正确"""

    code = "CODE-110"


class MissingPrefix(HandleError):
    """Handle 标识“{text}”在“/”之前没有前缀"""

    code = "CODE-111"


class MissingSuffix(HandleError):
    """Handle 标识“{text}”在“/”之后没有后缀"""

    code = "CODE-112"


class MissingSlash(HandleError):
    """Handle 标识“{text}”没有用“/”分开前缀与后缀"""

    code = "CODE-113"


class BadPrefixArc(HandleError):
    """Handle 前缀“{prefix}”第 {position} 段“{arc}”为空或有不允许的字符（只能用字母、数字，中间可有“-”和“_”，各段以“.”分隔）"""

    code = "CODE-114"


class BadHandleUrl(HandleError):
    """Handle 网址“{text}”中没有标识，或百分号编码不是 UTF-8"""

    code = "CODE-115"


class OidError(CodeError):
    """OID 标识不正确"""

    code = "CODE-120"


class BadArc(OidError):
    """OID 第 {position} 段“{arc}”为空或不是数字"""

    code = "CODE-121"


class TooFewArcs(OidError):
    """OID“{text}”至少要有两段"""

    code = "CODE-122"


class BadFirstArc(OidError):
    """OID 第 1 段“{arc}”只能是 0（ITU-T）、1（ISO）或 2（联合）"""

    code = "CODE-123"


class BadSecondArc(OidError):
    """OID 第 1 段为 {first} 时，第 2 段“{arc}”只能是 0 到 39"""

    code = "CODE-124"


class BidError(CodeError):
    """BID 标识不正确"""

    code = "CODE-130"


class NotABid(BidError):
    """“{text}”不是“did:bid:[ACSN:]后缀”的形式"""

    code = "CODE-131"


class BadAcsn(BidError):
    """BID 的 ACSN“{acsn}”应为 4 位小写字母或数字"""

    code = "CODE-132"


class BadEncryptionType(BidError):
    """BID 的加密类型“{letter}”应为 e（ED25519）、z（SM2）或 s（Secp256k1）"""

    code = "CODE-133"


class BadEncoding(BidError):
    """BID 的编码类型“{letter}”应为 f（Base58）、s（Base64）或 t（Bech32）"""

    code = "CODE-134"


class BadBidSuffixLength(BidError):
    """BID 的 {encoding} 后缀长 {length} 位，应为 {allowed} 位"""

    code = "CODE-135"


class BadBidSuffixCharacter(BidError):
    """BID 后缀第 {position} 位“{character}”不是 {encoding} 字符"""

    code = "CODE-136"


class VaaError(CodeError):
    """VAA 标识不正确"""

    code = "CODE-140"


class NotAVaa(VaaError):
    """“{text}”不是“VAA + 3 位国家代码 + 3 位行业代码 + 8 位企业代码 + 序列号”的形式：{reason}"""

    code = "CODE-141"


class BadVaaDigits(VaaError):
    """VAA 的{part}“{digits}”应为 {width} 位数字"""

    code = "CODE-142"


class BadSerialLength(VaaError):
    """VAA 的序列号长 {length} 位，应为 1 到 {limit} 位（分隔符“/”计入，且其后不能为空）"""

    code = "CODE-143"


class BadSerialCharacter(VaaError):
    """VAA 序列号第 {position} 位“{character}”不允许，只能用数字、字母和 * + - . / ( ) !"""

    code = "CODE-144"


class NotExpressibleAsVaa(VaaError):
    """Handle 标识“{text}”不能写成 VAA：{reason}"""

    code = "CODE-145"


class EcodeError(CodeError):
    """Ecode 标识不正确"""

    code = "CODE-150"


class BadVersion(EcodeError):
    """Ecode 的版本 V“{version}”应为 0 到 4"""

    code = "CODE-151"


class BadNsi(EcodeError):
    """Ecode 的编码体系标识 NSI“{nsi}”应为 {width} 位数字（版本 {version}）"""

    code = "CODE-152"


class BadMdLength(EcodeError):
    """Ecode 的主码 MD 长 {length} 位，应为 1 到 {limit} 位（版本 {version}）"""

    code = "CODE-153"


class BadMdCharacter(EcodeError):
    """Ecode 的主码 MD 第 {position} 位“{character}”不允许，应为{alphabet}（版本 {version}）"""

    code = "CODE-154"


class BadEcodeUrl(EcodeError):
    """Ecode 网址“{text}”的百分号编码不是 UTF-8"""

    code = "CODE-155"


class Gs1Error(CodeError):
    """GS1 标识不正确"""

    code = "CODE-160"


class BadCheckDigit(Gs1Error):
    """{title}“{digits}”的校验位是 {found}，应为 {expected}"""

    code = "CODE-161"


class BadGs1Shape(Gs1Error):
    """“{text}”不是 GS1 标识：应为 8、12、13、14 或 18 位数字，“(01)…”形式的单元数据串，或数字链接网址"""

    code = "CODE-162"


class BadElement(Gs1Error):
    """GS1 应用标识符（{ai}）的值“{value}”不正确：{reason}"""

    code = "CODE-163"


class NoPrimaryKey(Gs1Error):
    """GS1 单元数据串“{text}”里没有标识代码（如 (01)、(00)、(414)）"""

    code = "CODE-164"


class BadDigitalLink(Gs1Error):
    """GS1 数字链接“{text}”不正确：路径应为 /01/… 等标识代码及其限定符，按规定次序成对出现"""

    code = "CODE-165"


class RepeatedElement(Gs1Error):
    """GS1 应用标识符（{ai}）重复出现"""

    code = "CODE-166"


class CoverageError(CodeError):
    """标识前缀或范围不正确"""

    code = "CODE-170"


class EmptyCoverage(CoverageError):
    """标识前缀或范围为空"""

    code = "CODE-171"


class BadCoverage(CoverageError):
    """“{text}”不能作为{system}的标识前缀或范围：{reason}"""

    code = "CODE-172"


class UnequalEnds(CoverageError):
    """范围两端“{low}”与“{high}”的位数不同"""

    code = "CODE-173"


class ReversedRange(CoverageError):
    """范围起点“{low}”大于终点“{high}”"""

    code = "CODE-174"


class UnrelatedEnds(CoverageError):
    """范围两端“{low}”与“{high}”不能比较：{reason}"""

    code = "CODE-175"


class CoverageTooLong(CoverageError):
    """标识前缀或范围的一端长 {length} 字节，超过上限 {limit} 字节"""

    code = "CODE-176"
