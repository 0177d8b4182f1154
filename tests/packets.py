"""Packets of XMP as programs write them, made by hand after what they are documented to write."""

from __future__ import annotations

RDF = 'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"'
MWG = (
    'xmlns:mwg-rs="http://www.metadataworkinggroup.com/schemas/regions/" '
    'xmlns:stArea="http://ns.adobe.com/xmp/sType/Area#" '
    'xmlns:stDim="http://ns.adobe.com/xap/1.0/sType/Dimensions#"'
)
MP = (
    'xmlns:MP="http://ns.microsoft.com/photo/1.2/" '
    'xmlns:MPRI="http://ns.microsoft.com/photo/1.2/t/RegionInfo#" '
    'xmlns:MPReg="http://ns.microsoft.com/photo/1.2/t/Region#"'
)


def packet(inside: str, spaces: str = MWG) -> bytes:
    """A packet with one description, which holds this."""
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
        f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF {RDF}>'
        f'<rdf:Description rdf:about="" {spaces}>{inside}</rdf:Description>'
        '</rdf:RDF></x:xmpmeta>\n<?xpacket end="w"?>'
    ).encode()


def mwg(*regions: tuple[str, str, str], size: tuple[int, int] | None = (400, 300)) -> bytes:
    """MWG regions as exiftool writes them; each a name, an area's attributes and a type."""
    listed = "".join(
        f'<rdf:li rdf:parseType="Resource"><mwg-rs:Name>{name}</mwg-rs:Name>'
        f"<mwg-rs:Area {area}/>{f'<mwg-rs:Type>{kind}</mwg-rs:Type>' if kind else ''}</rdf:li>"
        for name, area, kind in regions
    )
    applied = (
        f'<mwg-rs:AppliedToDimensions stDim:w="{size[0]}" stDim:h="{size[1]}" stDim:unit="pixel"/>'
        if size
        else ""
    )
    return packet(
        f'<mwg-rs:Regions rdf:parseType="Resource">{applied}'
        f"<mwg-rs:RegionList><rdf:Bag>{listed}</rdf:Bag></mwg-rs:RegionList></mwg-rs:Regions>"
    )


def area(x: float, y: float, width: float, height: float) -> str:
    """The attributes of an area by its left top corner, which MWG gives by its centre."""
    return (
        f'stArea:x="{x + width / 2}" stArea:y="{y + height / 2}" stArea:w="{width}" '
        f'stArea:h="{height}" stArea:unit="normalized"'
    )


# Each region a description of its own, its simple fields attributes; unnamed faces are there, too
LIGHTROOM = packet(
    """
   <dc:subject><rdf:Bag><rdf:li>harbour</rdf:li></rdf:Bag></dc:subject>
   <mwg-rs:Regions rdf:parseType="Resource">
    <mwg-rs:AppliedToDimensions stDim:w="400" stDim:h="300" stDim:unit="pixel"/>
    <mwg-rs:RegionList>
     <rdf:Bag>
      <rdf:li>
       <rdf:Description mwg-rs:Rotation="0.00000" mwg-rs:Name="Ann Smith" mwg-rs:Type="Face">
        <mwg-rs:Area stArea:h="0.20000" stArea:w="0.10000" stArea:x="0.30000" stArea:y="0.50000"/>
       </rdf:Description>
      </rdf:li>
      <rdf:li>
       <rdf:Description mwg-rs:Rotation="0.00000" mwg-rs:Type="Face">
        <mwg-rs:Area stArea:h="0.1" stArea:w="0.1" stArea:x="0.8" stArea:y="0.8"/>
       </rdf:Description>
      </rdf:li>
     </rdf:Bag>
    </mwg-rs:RegionList>
   </mwg-rs:Regions>
""",
    f'{MWG} xmlns:dc="http://purl.org/dc/elements/1.1/" '
    'xmlns:crs="http://ns.adobe.com/camera-raw-settings/1.0/" crs:Temperature="5500"',
)

# The same faces twice, for MWG and for Microsoft; attributes as exiv2 writes them
DIGIKAM = packet(
    """
   <digiKam:TagsList><rdf:Seq><rdf:li>People/Ann Smith</rdf:li></rdf:Seq></digiKam:TagsList>
   <MP:RegionInfo rdf:parseType="Resource">
    <MPRI:Regions>
     <rdf:Bag>
      <rdf:li MPReg:PersonDisplayName="Ann Smith" MPReg:Rectangle="0.25, 0.4, 0.1, 0.2"/>
      <rdf:li MPReg:PersonDisplayName="Bob" MPReg:Rectangle="0.6, 0.4, 0.1, 0.2"/>
     </rdf:Bag>
    </MPRI:Regions>
   </MP:RegionInfo>
   <mwg-rs:Regions rdf:parseType="Resource">
    <mwg-rs:AppliedToDimensions stDim:w="400" stDim:h="300" stDim:unit="pixel"/>
    <mwg-rs:RegionList>
     <rdf:Bag>
      <rdf:li>
       <rdf:Description mwg-rs:Name="Ann Smith" mwg-rs:Type="Face">
       <mwg-rs:Area stArea:x="0.3" stArea:y="0.5" stArea:w="0.1" stArea:h="0.2"
         stArea:unit="normalized"/>
       </rdf:Description>
      </rdf:li>
      <rdf:li>
       <rdf:Description mwg-rs:Name="Bob" mwg-rs:Type="Face">
       <mwg-rs:Area stArea:x="0.65" stArea:y="0.5" stArea:w="0.1" stArea:h="0.2"
         stArea:unit="normalized"/>
       </rdf:Description>
      </rdf:li>
     </rdf:Bag>
    </mwg-rs:RegionList>
   </mwg-rs:Regions>
""",
    f'{MWG} {MP} xmlns:digiKam="http://www.digikam.org/ns/1.0/"',
)

# Elements all the way down, and a dimension struct of elements
PICASA = packet(
    """
   <mwg-rs:Regions rdf:parseType="Resource">
    <mwg-rs:AppliedToDimensions rdf:parseType="Resource">
     <stDim:w>400</stDim:w><stDim:h>300</stDim:h><stDim:unit>pixel</stDim:unit>
    </mwg-rs:AppliedToDimensions>
    <mwg-rs:RegionList>
     <rdf:Bag>
      <rdf:li rdf:parseType="Resource">
       <mwg-rs:Type>Face</mwg-rs:Type>
       <mwg-rs:Name>Ann Smith</mwg-rs:Name>
       <mwg-rs:Area rdf:parseType="Resource">
        <stArea:x>0.3</stArea:x><stArea:y>0.5</stArea:y>
        <stArea:w>0.1</stArea:w><stArea:h>0.2</stArea:h><stArea:unit>normalized</stArea:unit>
       </mwg-rs:Area>
      </rdf:li>
     </rdf:Bag>
    </mwg-rs:RegionList>
   </mwg-rs:Regions>
"""
)

# Descriptions nested in everything; somebody named who has no rectangle
MICROSOFT = packet(
    """
   <MP:RegionInfo>
    <rdf:Description>
     <MPRI:Regions>
      <rdf:Bag>
       <rdf:li>
        <rdf:Description>
         <MPReg:Rectangle>0.25, 0.4, 0.1, 0.2</MPReg:Rectangle>
         <MPReg:PersonDisplayName>Ann Smith</MPReg:PersonDisplayName>
         <MPReg:PersonLiveCID>1234567890</MPReg:PersonLiveCID>
        </rdf:Description>
       </rdf:li>
       <rdf:li>
        <rdf:Description>
         <MPReg:PersonDisplayName>Carl</MPReg:PersonDisplayName>
        </rdf:Description>
       </rdf:li>
      </rdf:Bag>
     </MPRI:Regions>
    </rdf:Description>
   </MP:RegionInfo>
""",
    MP,
)
